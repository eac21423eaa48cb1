//! grpcio asks the program.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, Command, Stdio};

use crate::{Files, python};

/// The program; killed when the test is over.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The program on free ports, and where it takes gRPC.
fn started() -> (Program, String) {
    started_with::<&str>(&[])
}

fn started_with<S: AsRef<OsStr>>(flags: &[S]) -> (Program, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dispatcher"));
    let any = "127.0.0.1:0";
    command.args(["--http", any, "--grpc", any, "--diagnostics", any]);
    command.args(flags);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
    let mut program = Program(child.expect("it runs"));
    let output = program.0.stdout.take().expect("it is piped");
    let mut lines = BufReader::new(output).lines().map(|it| it.expect("text"));
    let url = lines.find_map(|it| it.strip_prefix("grpc-inbound:0 ").map(str::to_owned));
    let url = url.expect("the inbound's");
    let address = url.split_once("://").expect("a URL").1.to_owned();
    (program, address)
}

const EXPECTED: &str = "\
unary: b'hello' omnirelay-status=OK omnirelay-transport=grpc
one-way: b''
server stream: [b'one', b'two', b'three']
client stream: b'one two'
no messages: b''
duplex: [b'one', b'two', b'three']
end of duplex: OK omnirelay-status=OK omnirelay-transport=grpc
encoding: json
its trailer: json
unknown: UNIMPLEMENTED omnirelay-status=UNIMPLEMENTED omnirelay-error-code=dispatcher.procedure.unknown omnirelay-transport=grpc
another service: UNIMPLEMENTED omnirelay-status=UNIMPLEMENTED omnirelay-error-code=dispatcher.procedure.unknown omnirelay-transport=grpc
too large: RESOURCE_EXHAUSTED omnirelay-status=RESOURCE_EXHAUSTED omnirelay-transport=grpc
unreadable: INVALID_ARGUMENT omnirelay-status=INVALID_ARGUMENT omnirelay-error-code=dispatcher.grpc.metadata_invalid omnirelay-transport=grpc
compressed: UNIMPLEMENTED omnirelay-transport=grpc
in time: b'in time'
too late: DEADLINE_EXCEEDED omnirelay-status=DEADLINE_EXCEEDED omnirelay-transport=grpc
cancelled: CANCELLED 
afterwards: b'still there'
check: SERVING
watch: SERVING
open call: b'before'
watch after SIGTERM: NOT_SERVING
new call: UNAVAILABLE retry-after=1
check while draining: NOT_SERVING
open call: b'after'
rest of it: []
";

#[test]
fn contract_58_and_66_grpcio_makes_calls_of_every_shape_and_watches_the_program_drain() {
    let (mut program, address) = started();
    let mut client = python("client.py");
    client.args([address, program.0.id().to_string()]);
    let output = client.output().expect("it runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, EXPECTED, "{complaints}");
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

const COMPRESSED: &str = "\
unary: b'hello' omnirelay-status=OK omnirelay-transport=grpc
server stream: [b'one', b'two', b'three']
duplex: [b'one', b'two', b'three']
half a megabyte: 524288
too large when unpacked: RESOURCE_EXHAUSTED omnirelay-status=RESOURCE_EXHAUSTED omnirelay-transport=grpc
plain: b'hello'
";

#[test]
fn grpcio_compresses_its_calls_where_the_program_is_told_to_take_such() {
    let (_program, address) = started_with(&["--set", "grpc-inbounds.0.compression=gzip"]);
    let output = python("compression.py").arg(address).output();
    let output = output.expect("it runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let complaints = String::from_utf8_lossy(&output.stderr);
    assert_eq!(said, COMPRESSED, "{complaints}");
}

/// What comes of clients that are not let in, before the program drains.
const STRANGERS: &str = "\
no certificate: UNAVAILABLE 
foreign certificate: UNAVAILABLE 
foreign server: UNAVAILABLE 
clear text: UNAVAILABLE 
";

#[test]
fn grpcio_does_the_same_over_tls_with_a_certificate_and_nothing_without() {
    let (ours, strangers) = (Files::new(), Files::new());
    let file = |name: &str, key| format!("grpc-inbounds.0.tls.{key}={}/{name}", ours.folder());
    let files = [
        file("server/certificate.pem", "certificate"),
        file("server/key.pem", "key"),
        file("ca.pem", "client-ca"),
    ];
    let set = files.into_iter().flat_map(|it| ["--set".to_owned(), it]);
    let (mut program, address) = started_with(&set.collect::<Vec<_>>());
    let mut client = python("client.py");
    client.args([&address, &program.0.id().to_string()]);
    let output = client.args([ours.folder(), strangers.folder()]).output();
    let output = output.expect("it runs");
    let said = String::from_utf8(output.stdout).expect("text");
    let complaints = String::from_utf8_lossy(&output.stderr);
    let expected = EXPECTED.replace(
        "check: SERVING\nwatch:",
        &format!("{STRANGERS}check: SERVING\nwatch:"),
    );
    assert_eq!(said, expected, "{complaints}");
    assert_eq!(program.0.wait().expect("it ends").code(), Some(0));
}

#[test]
fn what_is_no_grpc_is_refused_in_http() {
    let (_program, address) = started();
    let url = format!("http://{address}/echo/echo");
    let status = |arguments: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--max-time", "20", "--output", "/dev/null"]);
        curl.args(["--write-out", "%{http_code}"]).args(arguments);
        let mut curl = curl.arg(&url).stdout(Stdio::piped()).spawn();
        let curl = curl.as_mut().expect("curl is installed");
        let mut status = String::new();
        let output = curl.stdout.as_mut().expect("it is piped");
        output.read_to_string(&mut status).expect("text");
        curl.wait().expect("it ends");
        status
    };
    let grpc = ["-H", "Content-Type: application/grpc", "-d", ""];
    assert_eq!(status(&grpc), "505", "HTTP/1.1");
    let http2 = ["--http2-prior-knowledge"];
    let text = ["-H", "Content-Type: text/plain", "-d", ""];
    assert_eq!(status(&[&http2[..], &text].concat()), "415");
    let get = ["-H", "Content-Type: application/grpc"];
    assert_eq!(status(&[&http2[..], &get].concat()), "405");
    assert_eq!(status(&[&http2[..], &grpc].concat()), "200");
}
