//! Has a supervisor pull an image, and tells how long that took:
//! `pull SOCKET REFERENCE [NAMESPACE]`. For measurements.

use contracts_supervisor_api::any::pack;
use contracts_supervisor_api::channel::connect;
use contracts_supervisor_api::metadata::CallContext;
use contracts_supervisor_api::services::transfer::TransferRequest;
use contracts_supervisor_api::services::transfer::transfer_client::TransferClient;
use contracts_supervisor_api::types::transfer::{ImageStore, OciRegistry, UnpackConfiguration};
use std::error::Error;
use std::path::Path;
use std::time::Instant;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let usage = "usage: pull SOCKET REFERENCE [NAMESPACE]";
    let (socket, reference) = (arguments.next().ok_or(usage)?, arguments.next().ok_or(usage)?);
    let namespace = arguments.next().unwrap_or_else(|| "default".to_owned());
    let source = OciRegistry { reference: reference.clone(), resolver: None };
    let destination = ImageStore {
        name: reference,
        unpacks: vec![UnpackConfiguration::default()],
        ..ImageStore::default()
    };
    let request = TransferRequest {
        source: Some(pack(&source)),
        destination: Some(pack(&destination)),
        options: None,
    };
    let call = CallContext::new(&namespace).ok_or("not a namespace")?;
    let mut client = TransferClient::new(connect(Path::new(&socket)).await?);
    let begin = Instant::now();
    client.transfer(call.request(request)).await?;
    println!("{:.3} s", begin.elapsed().as_secs_f64());
    Ok(())
}
