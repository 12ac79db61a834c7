//! The client against a peer of the test's own.

use super::*;
use std::os::unix::net::UnixListener;
use std::thread;

const LIMIT: Duration = Duration::from_secs(20);
const SERVICE: Target<'static> = Target { destination: "a.b", path: "/x", interface: "c.d" };

/// Listens on a socket in a folder of its own, and lets `serve` talk to the one who connects.
fn peer(
    serve: impl FnOnce(UnixStream) + Send + 'static,
) -> (tempfile::TempDir, std::path::PathBuf, thread::JoinHandle<()>) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bus");
    let listener = UnixListener::bind(&path).unwrap();
    let thread = thread::spawn(move || serve(listener.accept().unwrap().0));
    (folder, path, thread)
}

/// Hears who asks to be let in. One that closes unheard what it was sent takes its own answer back.
fn hear(stream: &mut UnixStream) {
    let mut asked = [0; AUTHENTICATE.len()];
    stream.read_exact(&mut asked).unwrap();
    assert_eq!(asked, AUTHENTICATE);
}

fn let_in(stream: &mut UnixStream) {
    hear(stream);
    stream.write_all(b"DATA\r\nOK 1234\r\n").unwrap();
}

/// Reads a call, of which only the serial counts.
fn serial_of_call(stream: &mut UnixStream) -> u8 {
    let mut header = [0; FIXED_HEADER];
    stream.read_exact(&mut header).unwrap();
    let rest = message::total_length(&header).unwrap() - FIXED_HEADER;
    stream.read_exact(&mut vec![0; rest]).unwrap();
    header[8]
}

/// A signal or answer, made of a call by giving it another kind and other fields.
fn message(kind: u8, fields: &[(u8, Value)], arguments: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    arguments.iter().for_each(|argument| argument.write(&mut body));
    let signature = arguments.iter().map(Value::signature).collect();
    let fields = fields
        .iter()
        .cloned()
        .chain([(8, Value::Signature(signature))])
        .map(|(code, value)| Value::Struct(vec![Value::Byte(code), Value::Variant(value.into())]))
        .collect();
    let mut message = vec![b'l', kind, 0, 1];
    Value::U32(u32::try_from(body.len()).unwrap()).write(&mut message);
    Value::U32(1).write(&mut message);
    Value::Array("(yv)".into(), fields).write(&mut message);
    value::align(&mut message, 8);
    message.extend(body);
    message
}

fn signal(sender: &str, text: &str) -> Vec<u8> {
    let fields = [(2, Value::text("c.d")), (3, Value::text("Happened")), (7, Value::text(sender))];
    message(4, &fields, &[Value::text(text)])
}

#[test]
fn answers_and_signals_are_told_apart_and_impostors_passed_over() {
    let (_folder, path, thread) = peer(|mut stream| {
        let_in(&mut stream);
        let serial = serial_of_call(&mut stream);
        let fields = [(5, Value::U32(serial.into())), (7, Value::text(":1.1"))];
        stream.write_all(&signal(":1.1", "before the answer")).unwrap();
        stream.write_all(&message(2, &fields, &[Value::text("yes")])).unwrap();
        stream.write_all(&signal(":1.9", "an impostor's")).unwrap();
        stream.write_all(&signal(":1.1", "the real one")).unwrap();
    });
    let mut connection = Connection::open(&path, false, LIMIT).unwrap();
    let answer = connection.call(SERVICE, "Ask", &[Value::U32(3)]).unwrap();
    assert_eq!(answer.arguments, [Value::text("yes")]);
    let heard = connection.wait_for(&answer.sender, "c.d", "Happened", |arguments| {
        if let [Value::Text(text)] = arguments { Some(text.clone()) } else { None }
    });
    assert_eq!(heard.unwrap(), "the real one");
    thread.join().unwrap();
}

#[test]
fn an_error_has_its_name_and_its_text() {
    let (_folder, path, thread) = peer(|mut stream| {
        let_in(&mut stream);
        let serial = serial_of_call(&mut stream);
        let fields = [(5, Value::U32(serial.into())), (4, Value::text("e.NoSuchUnit"))];
        stream.write_all(&message(3, &fields, &[Value::text("not loaded")])).unwrap();
    });
    let mut connection = Connection::open(&path, false, LIMIT).unwrap();
    let error = connection.call(SERVICE, "Stop", &[]).err().unwrap();
    assert!(error.is("e.NoSuchUnit"));
    assert_eq!(error.to_string(), "not loaded (e.NoSuchUnit)");
    thread.join().unwrap();
}

#[test]
fn who_is_refused_or_not_answered_is_told_so() {
    let (_folder, path, thread) = peer(|mut stream| {
        hear(&mut stream);
        stream.write_all(b"REJECTED EXTERNAL\r\nREJECTED\r\n").unwrap();
    });
    let error = Connection::open(&path, false, LIMIT).err().unwrap();
    assert!(matches!(error, Error::Authentication(text) if text == "REJECTED EXTERNAL"));
    thread.join().unwrap();

    let (wait, end) = std::sync::mpsc::channel::<()>();
    let (_folder, path, thread) = peer(move |_silent| end.recv().unwrap_or_default());
    let error = Connection::open(&path, false, Duration::from_millis(20)).err().unwrap();
    let Error::Socket(_, cause) = error else { panic!("{error}") };
    assert_eq!(cause.kind(), io::ErrorKind::TimedOut);
    drop(wait);
    thread.join().unwrap();
}

#[test]
fn rubbish_and_a_sudden_end_are_errors() {
    let (_folder, path, thread) = peer(|mut stream| {
        let_in(&mut stream);
        let _ = serial_of_call(&mut stream);
        stream.write_all(&[b'x'; 64]).unwrap();
    });
    let mut connection = Connection::open(&path, false, LIMIT).unwrap();
    let error = connection.call(SERVICE, "Ask", &[]).err().unwrap();
    assert!(matches!(error, Error::Protocol(_)), "{error}");
    thread.join().unwrap();

    let (_folder, path, thread) = peer(|mut stream| {
        let_in(&mut stream);
        let _ = serial_of_call(&mut stream);
    });
    let mut connection = Connection::open(&path, false, LIMIT).unwrap();
    let error = connection.call(SERVICE, "Ask", &[]).err().unwrap();
    assert!(matches!(error, Error::Socket("receive", _)), "{error}");
    thread.join().unwrap();
}
