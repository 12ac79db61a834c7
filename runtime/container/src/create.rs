//! `create`: from a configuration to a container that waits to be started.
//!
//! Here everything is read and checked, so that what can be wrong with a configuration is told
//! before anything is made, and a container that did not come to be is cleaned up after;
//! [`launch`](crate::launch) is what lies between.

use crate::confinement::Confinement;
use crate::error::Error;
use crate::launch::launch;
use crate::listener::Listener;
use crate::namespaces::Namespaces;
use crate::request::{CreateRequest, Created};
use crate::store::{Folder, MemoryLimits, ProcessDefaults, Record};
use crate::{hooks, netdevices, rootless, user_namespace};
use base_faults::{Step, reach, step};
use base_oci::runtime::{Linux, Mount, NamespaceKind, Spec};
use contracts_runtime_api::Status;
use runtime_cgroups::{Cgroup, resctrl};
use runtime_confine::{labels, sysctls};
use runtime_rootfs::{BaseMount, CgroupMount, CgroupMounts, IdMap, Plan};
use std::borrow::Cow;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

const FOLDER_MADE: &Step = step("runtime.create.folder-made");

/// Everything that was read from the request.
pub(crate) struct Prepared<'a> {
    pub(crate) linux: Cow<'a, Linux>,
    pub(crate) namespaces: Namespaces,
    pub(crate) confinement: Confinement,
    pub(crate) cgroup: Box<dyn Cgroup>,
    /// Whether its folders were made for this container.
    pub(crate) cgroup_is_new: bool,
    /// Whether it was made before the first process.
    pub(crate) cgroup_is_made: bool,
    /// Whether the configuration says where it is.
    pub(crate) cgroup_is_named: bool,
    /// Whether the caller has no rights but over what it makes.
    pub(crate) is_ordinary_user: bool,
    /// Where the resctrl file system is, if the container has a group there.
    pub(crate) resctrl: Option<PathBuf>,
    pub(crate) plan: Plan,
    pub(crate) record: Record,
}

/// When a container's program is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Start {
    /// When somebody calls `start`.
    Later,
    /// As soon as everything is ready for it.
    AtOnce,
}

/// Makes a container.
pub(crate) fn create(request: CreateRequest<'_>) -> Result<Created, Error> {
    make(request, Start::Later)
}

/// Makes a container whose program runs.
pub(crate) fn run(request: CreateRequest<'_>) -> Result<Created, Error> {
    make(request, Start::AtOnce)
}

fn make(request: CreateRequest<'_>, start: Start) -> Result<Created, Error> {
    // Held until the end: who asks meanwhile learns that the container is being created.
    let (folder, _creating) = Folder::create(request.root, request.id)?;
    reach(FOLDER_MADE);
    let made = prepare(&request).and_then(|mut prepared| {
        prepared.record.starts_at_once = start == Start::AtOnce;
        launch(request, &folder, &mut prepared, start)
            .map_err(|error| undo(error, &folder, &prepared))
    });
    if made.is_err() {
        let _ = folder.remove();
    }
    made
}

/// Removes what was made of a container that did not come to be; init has ended.
pub(crate) fn undo(error: Error, folder: &Folder, prepared: &Prepared<'_>) -> Error {
    let group = prepared.record.group().map_or(Ok(()), |group| group.remove());
    let cgroup = if prepared.cgroup_is_new { prepared.cgroup.remove() } else { Ok(()) };
    let _ = folder.remove();
    // Hooks may have run that these undo (runtime-spec, "lifecycle").
    let state = folder.state_as(&prepared.record, Status::Stopped);
    let _ = hooks::run_each("poststop", &prepared.record.poststop, &state);
    match cgroup.and(group) {
        Ok(()) => error,
        Err(cleanup) => {
            Error::Cleanup { error: Box::new(error), cleanup: Box::new(cleanup.into()) }
        }
    }
}

/// Reads and checks everything.
pub(crate) fn prepare<'a>(request: &CreateRequest<'a>) -> Result<Prepared<'a>, Error> {
    let spec = request.spec;
    let process = spec
        .process
        .as_ref()
        .ok_or_else(|| Error::Configuration("process property must not be empty".to_owned()))?;
    let linux = spec.linux.as_ref().map_or_else(Cow::default, Cow::Borrowed);
    let namespaces = Namespaces::open(&linux)?;
    check(spec, &linux, &namespaces)?;
    let is_private = matches!(linux.rootfs_propagation.as_str(), "private" | "rprivate");
    if request.options.no_pivot && is_private {
        // The host's mounts stay below the root, and must go when the host takes them away.
        let text = "rootfsPropagation of [r]private is not safe without pivot_root";
        return Err(Error::Configuration(text.to_owned()));
    }
    let is_ordinary_user = user_namespace::is_ordinary_user();
    if is_ordinary_user {
        rootless::check(spec, &linux, &namespaces)?;
    }
    let resctrl = linux.intel_rdt.as_ref().map(|_| resctrl::root()).transpose()?;
    let bundle = std::path::absolute(request.bundle).map_err(|source| Error::State {
        step: "resolve",
        path: request.bundle.to_owned(),
        source,
    })?;
    let confinement = Confinement::new(
        process,
        linux.memory_policy.as_ref(),
        linux.personality.as_ref(),
        request.options.preserve_fds,
    )?;
    let cgroup = if request.options.no_cgroup {
        runtime_cgroups::reopen(runtime_cgroups::Record::default())
    } else if request.options.systemd_cgroup {
        let owner = cgroup_owner(spec, process.user.uid, &linux, &namespaces);
        runtime_cgroups::locate_scope(&linux.cgroups_path, request.id, &spec.annotations, owner)?
    } else {
        runtime_cgroups::locate(&linux.cgroups_path, request.id)?
    };
    let plan = plan(request, &bundle, &*cgroup, &namespaces, &linux)?;
    let record = record(request, process, bundle, &*cgroup, &namespaces, &linux);
    let cgroup_is_named = !linux.cgroups_path.is_empty();
    Ok(Prepared {
        linux,
        namespaces,
        confinement,
        cgroup,
        cgroup_is_new: false,
        cgroup_is_made: false,
        cgroup_is_named,
        is_ordinary_user,
        resctrl,
        plan,
        record,
    })
}

/// Whose the scope of a container becomes, if not the caller's: its user's, where that one sees it as
/// the root of the tree and can write to it. runc's rule.
fn cgroup_owner(spec: &Spec, user: u32, linux: &Linux, namespaces: &Namespaces) -> Option<u32> {
    let is_writable = |mount: &Mount| {
        let last = mount.options.iter().rev().find(|o| matches!(o.as_str(), "ro" | "rw"));
        let path = Path::new(&mount.destination).components();
        mount.source == "cgroup"
            && path.eq(Path::new("/sys/fs/cgroup").components())
            && last.is_none_or(|option| option == "rw")
    };
    if !namespaces.makes(NamespaceKind::Cgroup) || !spec.mounts.iter().any(is_writable) {
        return None;
    }
    if !namespaces.has_user() {
        return Some(user);
    }
    linux.uid_mappings.iter().find_map(|map| {
        let offset = user.checked_sub(map.container_id).filter(|offset| *offset < map.size)?;
        map.host_id.checked_add(offset)
    })
}

/// What must not be asked for together, or not at all.
fn check(spec: &Spec, linux: &Linux, namespaces: &Namespaces) -> Result<(), Error> {
    let own = namespaces.own();
    let needs = |kind: NamespaceKind, is_wanted: bool, text: &str| {
        if is_wanted && !own.contains(&kind) {
            return Err(Error::Configuration(text.to_owned()));
        }
        Ok(())
    };
    if spec.root.is_none() {
        return Err(Error::Configuration("root must be specified".to_owned()));
    }
    let wants_names = !spec.hostname.is_empty() || !spec.domainname.is_empty();
    let text = "unable to set hostname without a private UTS namespace";
    needs(NamespaceKind::Uts, wants_names, text)?;
    let hides = !linux.masked_paths.is_empty() || !linux.readonly_paths.is_empty();
    let text = "unable to restrict sys entries without a private MNT namespace";
    needs(NamespaceKind::Mount, hides, text)?;
    let text = "unable to move network devices without a NET namespace";
    needs(NamespaceKind::Network, !linux.net_devices.is_empty(), text)?;
    if !linux.time_offsets.is_empty() && namespaces.joins(NamespaceKind::Time) {
        let text = "time namespace enabled, but both namespace path and time offsets specified \
                    -- you may only provide one";
        return Err(Error::Configuration(text.to_owned()));
    }
    let text = "time namespace offsets specified, but time namespace isn't enabled in the config";
    needs(NamespaceKind::Time, !linux.time_offsets.is_empty(), text)?;
    netdevices::check(&linux.net_devices)?;
    sysctls::check(&linux.sysctl, &own)?;
    Ok(())
}

/// What is mounted, with the sources open that the container's own root may not open.
fn plan(
    request: &CreateRequest<'_>,
    bundle: &Path,
    cgroup: &dyn Cgroup,
    namespaces: &Namespaces,
    linux: &Linux,
) -> Result<Plan, Error> {
    let mut plan = Plan::new(runtime_rootfs::Request {
        spec: request.spec,
        bundle,
        base: request.rootfs_mounts.iter().map(base_mount).collect(),
        cgroups: shown(&cgroup.record(), namespaces),
        mount_label: if labels::has_selinux() { &linux.mount_label } else { "" },
    })?;
    if user_namespace::is_ordinary_user() {
        // Sources are opened in the container's user namespace: nobody else may.
        return Ok(plan);
    }
    plan.open_sources(|map| user_namespace_of(map, namespaces, linux))?;
    Ok(plan)
}

/// What a mount of cgroups shows.
pub(crate) fn shown(record: &runtime_cgroups::Record, namespaces: &Namespaces) -> CgroupMounts {
    let mount = |h: &runtime_cgroups::Hierarchy| CgroupMount {
        name: h.name.clone(),
        controllers: h.controllers.clone(),
        path: h.path.clone(),
    };
    CgroupMounts {
        hierarchies: record
            .hierarchies
            .iter()
            // A hybrid host's cgroup v2 tree is not shown, as under runc.
            .filter(|h| record.unified || !h.controllers.is_empty())
            .map(mount)
            .collect(),
        unified: record.unified,
        private: namespaces.makes(NamespaceKind::Cgroup),
    }
}

/// A user namespace with the ids that a mount is to show.
fn user_namespace_of(
    map: &IdMap,
    namespaces: &Namespaces,
    linux: &Linux,
) -> Result<OwnedFd, Error> {
    match (map, namespaces.joined(NamespaceKind::User)) {
        (IdMap::Own { uids, gids }, _) => user_namespace::make(uids, gids),
        (IdMap::Container, Some(joined)) => joined
            .try_clone_to_owned()
            .map_err(|error| Error::Configuration(format!("user namespace of a mount: {error}"))),
        (IdMap::Container, None) if namespaces.makes(NamespaceKind::User) => {
            user_namespace::make(&linux.uid_mappings, &linux.gid_mappings)
        }
        (IdMap::Container, None) => Err(Error::Configuration(
            "id-mapped mounts must have both uid and gid mappings specified".to_owned(),
        )),
    }
}

fn record(
    request: &CreateRequest<'_>,
    process: &base_oci::runtime::Process,
    bundle: PathBuf,
    cgroup: &dyn Cgroup,
    namespaces: &Namespaces,
    linux: &Linux,
) -> Record {
    let spec = request.spec;
    let root = spec.root.as_ref().map_or("rootfs", |root| root.path.as_str());
    let hooks = spec.hooks.clone().unwrap_or_default();
    let mut record = Record {
        id: request.id.to_owned(),
        oci_version: spec.oci_version.clone(),
        rootfs: bundle.join(root),
        bundle,
        created: now(),
        annotations: spec.annotations.clone(),
        namespaces: namespaces.own_flags().bits(),
        shares_pids: !namespaces.makes(NamespaceKind::Pid),
        memory: MemoryLimits::of(linux.resources.as_ref()),
        rootless: request.options.rootless,
        keeps_keyring: request.options.no_new_keyring,
        process: ProcessDefaults::of(process, linux),
        listener: linux.seccomp.as_ref().filter(|seccomp| !seccomp.listener_path.is_empty()).map(
            |seccomp| Listener {
                path: PathBuf::from(&seccomp.listener_path),
                metadata: seccomp.listener_metadata.clone(),
            },
        ),
        poststart: hooks.poststart,
        poststop: hooks.poststop,
        ..Record::default()
    };
    record.set_cgroup(cgroup.record());
    record
}

fn base_mount(mount: &crate::request::RootfsMount) -> BaseMount {
    BaseMount {
        fstype: mount.fstype.clone(),
        source: mount.source.clone(),
        target: mount.target.clone(),
        options: mount.options.clone(),
    }
}

/// The present time, RFC 3339.
fn now() -> String {
    let now =
        std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    base_telemetry::logger::timestamp(now.as_secs(), now.subsec_nanos())
}
