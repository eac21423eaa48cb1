//! The description against what is served.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;

use lifecycle_core::Registration;
use serde_json::Value;

use crate::support::{Rig, connect, get, idle};

/// The status of a request whose answer is not read to its end: it may have none.
fn status(address: SocketAddr, method: &str, path: &str) -> u16 {
    let mut stream = connect(address);
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    let mut head = [0; 12];
    stream.read_exact(&mut head).unwrap();
    let status = std::str::from_utf8(&head[9..]).unwrap();
    status.parse().unwrap()
}

#[test]
fn the_description_names_the_methods_that_are_answered_and_no_others() {
    let rig = Rig::of(vec![Registration::new("pool", idle())]);
    let address = rig.start();
    let document = get(address, "/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    for (path, methods) in paths {
        let path = path.replace("{name}", "pool");
        for method in ["get", "post", "put", "delete"] {
            let described = methods.get(method).is_some();
            let status = status(address, &method.to_uppercase(), &path);
            assert_eq!(status != 405, described, "{method} {path}: {status}");
        }
    }
    rig.stop();
}

#[test]
fn documents_have_the_members_that_are_described() {
    let rig = Rig::of(vec![Registration::new("pool", idle())]);
    let address = rig.start();
    let description = get(address, "/openapi.json").json();
    for (path, schema) in [
        ("/control/lifecycle", "Snapshot"),
        ("/control/lifecycle/components/pool", "ComponentDocument"),
        ("/control/lifecycle/components/pool/why", "Explanation"),
        ("/control/lifecycle/graph", "Graph"),
        ("/livez", "Health"),
    ] {
        let schema = &description["components"]["schemas"][schema];
        let names = |it: &Value| -> Vec<String> {
            let members = it.as_object().unwrap_or_else(|| panic!("{path}: {it}"));
            members.keys().cloned().collect()
        };
        let document = get(address, path).json();
        let described = names(&schema["properties"]);
        let unknown = names(&document).into_iter();
        let unknown: Vec<_> = unknown.filter(|it| !described.contains(it)).collect();
        assert!(unknown.is_empty(), "{path}: {unknown:?}");
        for required in schema["required"].as_array().unwrap() {
            let member = required.as_str().unwrap();
            assert!(document.get(member).is_some(), "{path} lacks {member}");
        }
    }
    rig.stop();
}
