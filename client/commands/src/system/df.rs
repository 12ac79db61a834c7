//! `system df`.

use crate::arguments::Arguments;
use crate::command::{Command, Operands};
use crate::failure::Failure;
use crate::flag::{Flag, Kind};
use crate::listing::{Format, Row};
use crate::quantity;
use crate::session::Session;
use crate::show;
use contracts_engine_api::system::DiskUsage;

static FLAGS: &[Flag] = &[Flag::new("format", Kind::Text, show::LIST_FORMAT_HELP)];

/// `system df`.
pub(super) static COMMAND: Command = Command::new("df", "[OPTIONS]", "Show docker disk usage", run)
    .flags(&[FLAGS])
    .operands(Operands::None);

const TABLE: &str = "{{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";

const HEADINGS: &[(&str, &str)] = &[
    ("Type", "TYPE"),
    ("TotalCount", "TOTAL"),
    ("Active", "ACTIVE"),
    ("Size", "SIZE"),
    ("Reclaimable", "RECLAIMABLE"),
];

fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let format = Format::parse(arguments.text("format"), TABLE)?;
    let usage: DiskUsage = session.client.get("/system/df").fetch()?;
    format.print(HEADINGS, &rows(&usage))
}

/// Sizes of what is there, and of what could go.
struct Sum {
    name: &'static str,
    total: usize,
    active: usize,
    size: i64,
    reclaimable: i64,
}

impl Sum {
    #[expect(clippy::cast_precision_loss, reason = "four digits are shown")]
    fn row(&self) -> Row {
        let mut reclaimable = quantity::human_size(self.reclaimable.max(0) as f64);
        // A share of nothing is not told; a build cache has none in Docker's table either.
        if self.size > 0 && self.name != "Build Cache" {
            reclaimable += &format!(" ({}%)", self.reclaimable.max(0) * 100 / self.size);
        }
        Row::new(vec![
            ("Active", self.active.to_string().into()),
            ("Reclaimable", reclaimable.into()),
            ("Size", quantity::human_size(self.size.max(0) as f64).into()),
            ("TotalCount", self.total.to_string().into()),
            ("Type", self.name.into()),
        ])
    }
}

fn rows(usage: &DiskUsage) -> Vec<Row> {
    let images = usage.images.as_deref().unwrap_or_default();
    let containers = usage.containers.as_deref().unwrap_or_default();
    let volumes = usage.volumes.as_deref().unwrap_or_default();
    let cache = usage.build_cache.as_deref().unwrap_or_default();
    let layers = usage.layers_size.unwrap_or(0);
    let used: i64 = images
        .iter()
        .filter(|image| image.containers > 0 && image.size >= 0 && image.shared_size >= 0)
        .map(|image| image.size - image.shared_size)
        .sum();
    let runs = |state: &str| matches!(state, "running" | "paused" | "restarting");
    let volume_size = |in_use: Option<bool>| -> i64 {
        let usages = volumes.iter().filter_map(|volume| volume.usage_data.as_ref());
        let wanted = usages.filter(|data| in_use.is_none_or(|used| (data.ref_count > 0) == used));
        wanted.map(|data| data.size.max(0)).sum()
    };
    let sums = [
        Sum {
            name: "Images",
            total: images.len(),
            active: images.iter().filter(|image| image.containers > 0).count(),
            size: layers,
            reclaimable: layers - used,
        },
        Sum {
            name: "Containers",
            total: containers.len(),
            active: containers.iter().filter(|container| runs(&container.state)).count(),
            size: containers.iter().map(|container| container.size_rw).sum(),
            reclaimable: containers
                .iter()
                .filter(|container| !runs(&container.state))
                .map(|container| container.size_rw)
                .sum(),
        },
        Sum {
            name: "Local Volumes",
            total: volumes.len(),
            active: volumes
                .iter()
                .filter(|volume| volume.usage_data.as_ref().is_some_and(|data| data.ref_count > 0))
                .count(),
            size: volume_size(None),
            reclaimable: volume_size(Some(false)),
        },
        Sum {
            name: "Build Cache",
            total: cache.len(),
            active: cache.iter().filter(|record| record.in_use).count(),
            size: cache.iter().filter(|record| !record.shared).map(|record| record.size).sum(),
            reclaimable: cache
                .iter()
                .filter(|record| !record.in_use && !record.shared)
                .map(|record| record.size)
                .sum(),
        },
    ];
    sums.iter().map(Sum::row).collect()
}
