//! What a client may not send, and sends: frames by hand.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

use super::{Rig, of_every_shape};

/// The number of the status that `body` is answered with.
async fn status(rig: &Rig, procedure: &str, headers: &[(&str, &str)], body: &[u8]) -> String {
    let client = Client::builder(TokioExecutor::new())
        .http2_only(true)
        .build_http::<Full<Bytes>>();
    let mut request = http::Request::post(format!("http://{}/pets/{procedure}", rig.address()))
        .header("content-type", "application/grpc")
        .header("te", "trailers");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = Full::new(Bytes::copy_from_slice(body));
    let asked = client.request(request.body(body).expect("a request"));
    let answered = async {
        let (head, body) = asked.await.expect("an answer").into_parts();
        let body = body.collect().await.expect("its end");
        let trailers = body.trailers().cloned().unwrap_or_default();
        let status = head.headers.get("grpc-status").cloned();
        status.or_else(|| trailers.get("grpc-status").cloned())
    };
    let status = tokio::time::timeout(Duration::from_secs(20), answered).await;
    let status = status.expect("within the deadline").expect("a status");
    status.to_str().expect("a number").to_owned()
}

#[tokio::test]
async fn frames_that_make_no_sense_are_errors_in_every_shape_and_harm_nobody_else() {
    let rig = Rig::started(of_every_shape()).await;
    let (internal, exhausted, unimplemented) = ("13", "8", "12");
    for procedure in ["echo", "note", "split", "join", "mirror"] {
        for (body, headers, expected) in [
            (&b"\x07\0\0\0\x01x"[..], &[][..], internal),
            (b"\x01\0\0\0\x01x", &[], internal),
            (b"\0\0\0\0\x05ab", &[], internal),
            (b"\0\0\0", &[], internal),
            (b"\0\xff\xff\xff\xffx", &[], exhausted),
            (b"\0\0\0\0\x01xrest", &[], internal),
            (
                b"\0\0\0\0\x01x",
                &[("grpc-encoding", "gzip")],
                unimplemented,
            ),
        ] {
            let got = status(&rig, procedure, headers, body).await;
            assert_eq!(got, expected, "{procedure} {body:?}");
        }
    }
    let whole = b"\0\0\0\0\x01x";
    assert_eq!(status(&rig, "echo", &[], whole).await, "0");
    assert_eq!(
        status(&rig, "echo", &[("grpc-encoding", "identity")], whole).await,
        "0"
    );
    rig.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn paths_and_metadata_that_make_no_sense_are_errors() {
    let rig = Rig::started(of_every_shape()).await;
    let (invalid, unimplemented) = ("3", "12");
    let whole = b"\0\0\0\0\x01x";
    let long = "x".repeat(8_000);
    for (procedure, headers, expected) in [
        ("%ff", &[][..], invalid),
        ("%00", &[], unimplemented),
        (&long, &[], unimplemented),
        ("", &[], invalid),
        ("echo", &[("rpc-ttl-ms", "99999999999999999999")], invalid),
        ("echo", &[("grpc-timeout", "")], "0"),
        ("echo", &[("grpc-timeout", "1000000000S")], invalid),
        ("echo", &[("rpc-caller", "a"), ("rpc-caller", "b")], invalid),
    ] {
        let got = status(&rig, procedure, headers, whole).await;
        assert_eq!(got, expected, "{procedure:.20} {headers:?}");
    }
}
