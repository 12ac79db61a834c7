//! The socket that shims send their events to.

use crate::program::Program;
use contracts_shim_api::ttrpc::{self, Decoder, Response};
use contracts_shim_api::{events, types};
use contracts_supervisor_api::events::TaskExit;
use contracts_supervisor_api::prost::Message;
use contracts_supervisor_api::services::events::SubscribeRequest;
use contracts_supervisor_api::services::events::events_client::EventsClient;
use contracts_supervisor_api::{Timestamp, any};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

/// A shim's connection for events.
struct Publisher {
    socket: UnixStream,
    stream: u32,
}

impl Publisher {
    async fn connect(program: &Program) -> Self {
        let path = program.state().join("containerd.sock.ttrpc");
        Self { socket: UnixStream::connect(path).await.unwrap(), stream: 1 }
    }

    /// Calls a method; the code of its answer.
    async fn call(&mut self, service: &str, method: &str, payload: Vec<u8>) -> i32 {
        let request = ttrpc::Request {
            service: service.to_owned(),
            method: method.to_owned(),
            payload,
            ..ttrpc::Request::default()
        };
        let frame = ttrpc::encode(self.stream, ttrpc::REQUEST, &request).unwrap();
        self.socket.write_all(&frame).await.unwrap();
        let (mut decoder, mut buffer) = (Decoder::default(), [0; 256]);
        loop {
            let count = self.socket.read(&mut buffer).await.unwrap();
            assert_ne!(count, 0, "hung up");
            decoder.push(&buffer[..count]);
            if let Some(frame) = decoder.next_frame().unwrap() {
                assert_eq!((frame.stream, frame.kind), (self.stream, ttrpc::RESPONSE));
                self.stream += 2;
                let response = Response::decode(frame.body.as_slice()).unwrap();
                return response.status.map_or(0, |status| status.code);
            }
        }
    }
}

fn forward(topic: &str) -> Vec<u8> {
    let event = events::TaskExit { container_id: "c".into(), id: "e".into(), ..Default::default() };
    let envelope = events::Envelope {
        timestamp: Some(Timestamp { seconds: 1, nanos: 2 }),
        namespace: "test".into(),
        topic: topic.into(),
        event: Some(types::pack(&event)),
    };
    events::ForwardRequest { envelope: Some(envelope) }.encode_to_vec()
}

#[tokio::test]
async fn a_shims_event_reaches_subscribers_as_it_was_sent() {
    let program = Program::start().await;
    let mut client = EventsClient::new(program.channel.clone());
    let filters = vec!["event.id==e".to_owned()];
    let mut stream = client.subscribe(SubscribeRequest { filters }).await.unwrap().into_inner();
    let mut publisher = Publisher::connect(&program).await;
    let code = publisher.call(events::SERVICE, events::FORWARD, forward("/tasks/exit")).await;
    assert_eq!(code, 0);
    let envelope = stream.message().await.unwrap().unwrap();
    assert_eq!(envelope.timestamp, Some(Timestamp { seconds: 1, nanos: 2 }));
    let exit: TaskExit = any::unpack(envelope.event.as_ref().unwrap()).unwrap();
    assert_eq!(exit.container_id, "c");
}

#[tokio::test]
async fn what_is_no_event_is_refused_and_the_connection_goes_on() {
    const INVALID_ARGUMENT: i32 = 3;
    const UNIMPLEMENTED: i32 = 12;
    let program = Program::start().await;
    let mut publisher = Publisher::connect(&program).await;
    for (service, method, payload, code) in [
        ("x.Y", events::FORWARD, forward("/a"), UNIMPLEMENTED),
        (events::SERVICE, "Backward", forward("/a"), UNIMPLEMENTED),
        (events::SERVICE, events::FORWARD, vec![0xff], INVALID_ARGUMENT),
        (events::SERVICE, events::FORWARD, Vec::new(), INVALID_ARGUMENT),
        (events::SERVICE, events::FORWARD, forward("../a"), INVALID_ARGUMENT),
        (events::SERVICE, events::FORWARD, forward("/a"), 0),
    ] {
        assert_eq!(publisher.call(service, method, payload).await, code, "{service}/{method}");
    }
}
