//! A small supervisor: starts shims, calls them, takes their events, attaches to them.

use crate::bundle::Bundle;
use contracts_shim_api::attach::{
    self, AttachEnd, AttachRequest, AttachResponse, EndReason, Framing,
};
use contracts_shim_api::bootstrap::BootstrapParams;
use contracts_shim_api::events::{Envelope, ForwardRequest};
use contracts_shim_api::options::Options;
use contracts_shim_api::task::{
    CreateTaskRequest, CreateTaskResponse, DeleteRequest, DeleteResponse, ExecProcessRequest,
    KillRequest, SERVICE_V3, ShutdownRequest, StartRequest, StartResponse, StateRequest,
    StateResponse, WaitRequest, WaitResponse,
};
use contracts_shim_api::ttrpc::{self, Decoder, Request, Response, Status};
use contracts_shim_api::types::{SPEC_TYPE_PREFIX, pack};
use prost::Message;
use prost_types::Any;
use rustix::process::{Pid, Signal, kill_process};
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// The most that any single step of a test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// Waits until `done` gives something.
pub(crate) fn wait_for<T>(what: &str, mut done: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A shim, as its supervisor knows it.
pub(crate) struct Shim {
    pub(crate) bundle: Bundle,
    pub(crate) socket: PathBuf,
    places: PathBuf,
    events: Arc<Mutex<Vec<Envelope>>>,
    binary: String,
    /// Whether the places go with this one.
    is_first: bool,
}

impl Shim {
    /// Starts a shim for a bundle, with the linked runtime.
    pub(crate) fn start(bundle: Bundle) -> Self {
        Self::start_with(bundle, "")
    }

    /// The same, with another runtime's program.
    pub(crate) fn start_with(bundle: Bundle, binary: &str) -> Self {
        Self::launch(bundle, binary, true)
    }

    /// Starts a shim while its supervisor is away.
    pub(crate) fn start_unheard(bundle: Bundle) -> Self {
        Self::launch(bundle, "", false)
    }

    /// Starts a shim that dies at an armed step of this directory.
    pub(crate) fn start_faulty(bundle: Bundle, faults: &Path) -> Self {
        let places = std::env::temp_dir().join(format!("{}.run", bundle.id));
        std::fs::create_dir_all(&places).unwrap();
        let mut command = command(&bundle, &places);
        let output = command.env(base_faults::VARIABLE, faults).arg("start").output().unwrap();
        let params = BootstrapParams::parse(&output.stdout).unwrap();
        let socket = PathBuf::from(params.socket_path().unwrap());
        let events = Arc::default();
        Self { bundle, socket, places, events, binary: String::new(), is_first: true }
    }

    /// The supervisor is back.
    pub(crate) fn hear(&self) {
        take_events(&self.places.join("events.sock"), &self.events);
    }

    fn launch(bundle: Bundle, binary: &str, heard: bool) -> Self {
        let places = std::env::temp_dir().join(format!("{}.run", bundle.id));
        std::fs::create_dir_all(&places).unwrap();
        let events = Arc::default();
        if heard {
            take_events(&places.join("events.sock"), &events);
        }
        let output = command(&bundle, &places).arg("start").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let params = BootstrapParams::parse(&output.stdout).unwrap();
        assert_eq!(params.version, 3);
        let socket = PathBuf::from(params.socket_path().unwrap());
        Self { bundle, socket, places, events, binary: binary.to_owned(), is_first: true }
    }

    /// Starts a shim with the same places as another one's, which it may share.
    pub(crate) fn start_beside(bundle: Bundle, other: &Self) -> Self {
        let output = command(&bundle, &other.places).arg("start").output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let params = BootstrapParams::parse(&output.stdout).unwrap();
        let socket = PathBuf::from(params.socket_path().unwrap());
        let (places, events) = (other.places.clone(), Arc::clone(&other.events));
        Self { bundle, socket, places, events, binary: String::new(), is_first: false }
    }

    /// Calls a method.
    pub(crate) fn call<M: Message + Default>(
        &self,
        method: &str,
        message: &impl Message,
    ) -> Result<M, Status> {
        let mut stream = UnixStream::connect(&self.socket).unwrap();
        send(&mut stream, method, message);
        receive(&mut stream)
    }

    /// Creates the container with the same URI for stdout and stderr.
    pub(crate) fn create(&self, stdin: &str, stdout: &str, terminal: bool) -> Result<u32, Status> {
        let options = Options { binary_name: self.binary.clone(), ..Options::default() };
        let request = CreateTaskRequest {
            id: self.bundle.id.clone(),
            bundle: self.bundle.path().to_str().unwrap().to_owned(),
            terminal,
            stdin: stdin.to_owned(),
            stdout: stdout.to_owned(),
            stderr: if terminal { String::new() } else { stdout.to_owned() },
            options: Some(pack(&options)),
            ..CreateTaskRequest::default()
        };
        self.call::<CreateTaskResponse>("Create", &request).map(|response| response.pid)
    }

    /// Adds an exec.
    pub(crate) fn exec(
        &self,
        exec_id: &str,
        script: &str,
        stdin: &str,
        stdout: &str,
        terminal: bool,
    ) -> Result<(), Status> {
        let spec = crate::bundle::process(script, terminal).to_string().into_bytes();
        let spec = Any { type_url: format!("{SPEC_TYPE_PREFIX}Process"), value: spec };
        let request = ExecProcessRequest {
            id: self.bundle.id.clone(),
            exec_id: exec_id.to_owned(),
            terminal,
            stdin: stdin.to_owned(),
            stdout: stdout.to_owned(),
            stderr: if terminal { String::new() } else { stdout.to_owned() },
            spec: Some(spec),
        };
        self.call("Exec", &request)
    }

    pub(crate) fn begin(&self, exec_id: &str) -> Result<u32, Status> {
        let request = StartRequest { id: self.bundle.id.clone(), exec_id: exec_id.to_owned() };
        self.call::<StartResponse>("Start", &request).map(|response| response.pid)
    }

    pub(crate) fn wait(&self, exec_id: &str) -> u32 {
        let request = WaitRequest { id: self.bundle.id.clone(), exec_id: exec_id.to_owned() };
        self.call::<WaitResponse>("Wait", &request).unwrap().exit_status
    }

    pub(crate) fn state(&self, exec_id: &str) -> Result<StateResponse, Status> {
        let request = StateRequest { id: self.bundle.id.clone(), exec_id: exec_id.to_owned() };
        self.call("State", &request)
    }

    pub(crate) fn kill(&self, exec_id: &str, signal: u32) -> Result<(), Status> {
        let (id, exec_id) = (self.bundle.id.clone(), exec_id.to_owned());
        self.call("Kill", &KillRequest { id, exec_id, signal, all: false })
    }

    pub(crate) fn delete(&self, exec_id: &str) -> Result<DeleteResponse, Status> {
        let request = DeleteRequest { id: self.bundle.id.clone(), exec_id: exec_id.to_owned() };
        self.call("Delete", &request)
    }

    /// Attaches a client that wants everything.
    pub(crate) fn attach(&self, exec_id: &str, stdin: bool, framing: Framing) -> Attached {
        let request = AttachRequest {
            id: self.bundle.id.clone(),
            exec_id: exec_id.to_owned(),
            stdin,
            stdout: true,
            stderr: true,
            framing: framing.into(),
            detach_keys: vec![16, 17],
            buffered_stdin: Vec::new(),
        };
        Attached::new(&self.bundle.file(attach::SOCKET), &request)
    }

    /// The topics of the events so far.
    pub(crate) fn topics(&self) -> Vec<String> {
        self.events.lock().unwrap().iter().map(|event| event.topic.clone()).collect()
    }

    /// Waits for an event.
    pub(crate) fn wait_for_topic(&self, topic: &str) {
        self.wait_for_topics(topic, 1);
    }

    /// Waits for so many events of a topic.
    pub(crate) fn wait_for_topics(&self, topic: &str, count: usize) {
        let come = || self.topics().iter().filter(|other| *other == topic).count();
        wait_for(topic, || (come() >= count).then_some(()));
    }

    /// Asks the shim to leave, with whatever it has.
    pub(crate) fn shut_down(&self) {
        let request = ShutdownRequest { id: self.bundle.id.clone(), now: true };
        self.call::<()>("Shutdown", &request).unwrap();
    }

    /// Kills the shim.
    pub(crate) fn end(&self) {
        let pid = self.bundle.read("shim.pid").parse().ok().and_then(Pid::from_raw);
        // It may have ended already.
        let _ = kill_process(pid.unwrap(), Signal::KILL);
    }

    /// Waits until nobody listens on the shim's socket.
    pub(crate) fn wait_for_end(&self) {
        wait_for("the shim's end", || UnixStream::connect(&self.socket).is_err().then_some(()));
    }

    /// The shim's process.
    pub(crate) fn pid(&self) -> u32 {
        self.bundle.read("shim.pid").parse().unwrap()
    }

    /// Runs the `delete` action, as after the shim's death.
    pub(crate) fn delete_action(&self) -> DeleteResponse {
        let output = command(&self.bundle, &self.places)
            .arg("-bundle")
            .arg(self.bundle.path())
            .arg("delete")
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        DeleteResponse::decode(output.stdout.as_slice()).unwrap()
    }
}

impl Drop for Shim {
    fn drop(&mut self) {
        if self.is_first && UnixStream::connect(&self.socket).is_ok() {
            self.end();
        }
        let _ = command(&self.bundle, &self.places)
            .arg("-bundle")
            .arg(self.bundle.path())
            .arg("delete")
            .output();
        if self.is_first {
            let _ = std::fs::remove_dir_all(&self.places);
        }
    }
}

/// An attached client.
pub(crate) struct Attached {
    pub(crate) stream: UnixStream,
    control: UnixStream,
    frames: Vec<u8>,
}

impl Attached {
    fn new(socket: &Path, request: &AttachRequest) -> Self {
        let control = UnixStream::connect(socket).unwrap();
        control.set_read_timeout(Some(PATIENCE)).unwrap();
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let frame = attach::encode(request).unwrap();
        kernel_sys::message::send(&control, &frame, &[theirs.as_fd()]).unwrap();
        let mut attached = Self { stream, control, frames: Vec::new() };
        let response: AttachResponse = attached.message();
        assert_eq!(response, AttachResponse::default());
        attached
    }

    fn message<M: Message + Default>(&mut self) -> M {
        loop {
            if let Some(message) = attach::decode(&mut self.frames).unwrap() {
                return message;
            }
            let mut buffer = [0; 256];
            let count = self.control.read(&mut buffer).unwrap();
            assert!(count > 0, "the attach connection ended");
            self.frames.extend_from_slice(&buffer[..count]);
        }
    }

    /// Everything until the end of the stream, and why it ended.
    pub(crate) fn finish(mut self) -> (Vec<u8>, EndReason) {
        let mut output = Vec::new();
        self.stream.read_to_end(&mut output).unwrap();
        let end: AttachEnd = self.message();
        (output, end.reason())
    }

    /// Reads until this text has come.
    pub(crate) fn expect(&mut self, text: &str) -> String {
        let mut seen = Vec::new();
        loop {
            let mut buffer = [0; 1024];
            let count = self.stream.read(&mut buffer).unwrap();
            seen.extend_from_slice(&buffer[..count]);
            let so_far = String::from_utf8_lossy(&seen).into_owned();
            if so_far.contains(text) {
                return so_far;
            }
            assert!(count > 0, "the stream ended after {so_far:?}");
        }
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }
}

fn command(bundle: &Bundle, places: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_containerd-shim-gantry-v2"));
    command
        .current_dir(bundle.path())
        .args(["-namespace", "test", "-address", "/none", "-id", &bundle.id])
        .env("TTRPC_ADDRESS", places.join("events.sock"))
        .env("GANTRY_SHIM_SOCKET_DIR", places.join("s"))
        .env("GANTRY_RUNTIME_ROOT", places.join("runtime"))
        .env("MAX_SHIM_VERSION", "3");
    command
}

fn take_events(path: &Path, events: &Arc<Mutex<Vec<Envelope>>>) {
    let listener = UnixListener::bind(path).unwrap();
    let events = Arc::clone(events);
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let events = Arc::clone(&events);
            std::thread::spawn(move || {
                let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
                while let Ok(count @ 1..) = stream.read(&mut buffer) {
                    decoder.push(&buffer[..count]);
                    while let Some(frame) = decoder.next_frame().unwrap() {
                        let request = Request::decode(frame.body.as_slice()).unwrap();
                        let forward = ForwardRequest::decode(request.payload.as_slice()).unwrap();
                        events.lock().unwrap().extend(forward.envelope);
                        let answer =
                            ttrpc::encode(frame.stream, ttrpc::RESPONSE, &Response::default());
                        stream.write_all(&answer.unwrap()).unwrap();
                    }
                }
            });
        }
    });
}

pub(crate) fn send(stream: &mut UnixStream, method: &str, message: &impl Message) {
    let request = Request {
        service: SERVICE_V3.to_owned(),
        method: method.to_owned(),
        payload: message.encode_to_vec(),
        ..Request::default()
    };
    stream.write_all(&ttrpc::encode(1, ttrpc::REQUEST, &request).unwrap()).unwrap();
}

pub(crate) fn receive<M: Message + Default>(stream: &mut UnixStream) -> Result<M, Status> {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
    loop {
        if let Some(frame) = decoder.next_frame().unwrap() {
            let response = Response::decode(frame.body.as_slice()).unwrap();
            return match response.status {
                Some(status) if status.code != 0 => Err(status),
                _ => Ok(M::decode(response.payload.as_slice()).unwrap()),
            };
        }
        let count = stream.read(&mut buffer).unwrap();
        assert!(count > 0, "the shim closed the connection");
        decoder.push(&buffer[..count]);
    }
}
