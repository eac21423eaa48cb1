//! Errors as statuses.

use dispatcher::{Code, Procedure, RpcError};

use super::Rig;
use super::client::text;
use crate::kit::echo;

fn failing(code: Code) -> Procedure {
    let error = RpcError::new(code, format!("it is {code}: ü"))
        .with_reason("pets.broken")
        .with_metadata("x-pet", "7");
    Procedure::unary(code.as_str(), move |_| {
        std::future::ready(Err(error.clone()))
    })
}

#[tokio::test]
async fn errors_are_the_statuses_of_their_name_with_reason_and_metadata() {
    let rig = Rig::started(Code::ALL.map(failing)).await;
    let client = rig.client().await;
    for code in Code::ALL {
        let path = format!("/pets/{code}");
        let status = client.unary(&path, "").await.unwrap_err();
        assert_eq!(format!("{:?}", status.code()), format!("{code:?}"));
        assert_eq!(status.message(), format!("it is {code}: ü"));
        let told = status.metadata();
        assert_eq!(text(told, "omnirelay-status"), Some(code.as_str()));
        assert_eq!(text(told, "omnirelay-error-code"), Some("pets.broken"));
        assert_eq!(
            text(told, "omnirelay-error-message"),
            Some(&*format!("it is {code}: ?"))
        );
        assert_eq!(text(told, "omnirelay-transport"), Some("grpc"));
        assert_eq!(text(told, "x-pet"), Some("7"));
    }
}

#[tokio::test]
async fn contract_66_what_nobody_registered_is_unimplemented_over_grpc() {
    let rig = Rig::started([echo("echo")]).await;
    let client = rig.client().await;
    for path in ["/pets/nothing", "/plants/echo", "/plants/nothing", "/echo"] {
        // In every shape, before there is a message.
        let messages = futures_util::stream::pending();
        let status = match path {
            "/plants/echo" => client.unary(path, "").await.unwrap_err(),
            _ => client.open(path, &[], messages).await.unwrap_err(),
        };
        assert_eq!(status.code(), tonic::Code::Unimplemented, "{path}");
        let told = text(status.metadata(), "omnirelay-status");
        assert_eq!(told, Some("UNIMPLEMENTED"));
    }
}

#[tokio::test]
async fn an_error_after_messages_comes_in_the_trailers() {
    let fail = async |_| {
        let messages = [
            Ok(bytes::Bytes::from("a")),
            Err(RpcError::new(Code::DataLoss, "torn").with_reason("pets.torn")),
        ];
        let messages = futures_util::stream::iter(messages);
        let messages = dispatcher::Messages::stream(messages);
        Ok(dispatcher::Response::new(messages))
    };
    let rig = Rig::started([Procedure::server_stream("tear", fail)]).await;
    let call = rig.client().await;
    let call = call.open(
        "/pets/tear",
        &[],
        futures_util::stream::iter([bytes::Bytes::new()]),
    );
    let mut answers = call.await.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap(), "a");
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::DataLoss);
    let told = status.metadata();
    assert_eq!(text(told, "omnirelay-status"), Some("DATA_LOSS"));
    assert_eq!(text(told, "omnirelay-error-code"), Some("pets.torn"));
    assert_eq!(text(told, "omnirelay-transport"), Some("grpc"));
}

#[tokio::test]
async fn a_panic_is_told_without_its_text_and_harms_nobody_else() {
    let panicking = Procedure::unary("panic", async |_| panic!("hunter2"));
    let rig = Rig::started([echo("echo"), panicking]).await;
    let client = rig.client().await;
    let status = client.unary("/pets/panic", "").await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    assert!(!format!("{status:?}").contains("hunter2"));
    assert_eq!(client.unary("/pets/echo", "x").await.unwrap(), "x");
}

#[tokio::test]
async fn a_panic_among_the_messages_is_an_error_in_the_trailers() {
    let panic = async |_| {
        let messages = futures_util::stream::iter(0..3);
        let messages = futures_util::StreamExt::map(messages, |it| match it {
            0 => Ok(bytes::Bytes::from("a")),
            _ => panic!("hunter2"),
        });
        let messages = dispatcher::Messages::stream(messages);
        Ok(dispatcher::Response::new(messages))
    };
    let rig = Rig::started([Procedure::server_stream("panic", panic)]).await;
    let client = rig.client().await;
    let asked = futures_util::stream::iter([bytes::Bytes::new()]);
    let answer = client.open("/pets/panic", &[], asked).await;
    let mut answers = answer.unwrap().into_inner();
    assert_eq!(answers.message().await.unwrap().unwrap(), "a");
    let status = answers.message().await.unwrap_err();
    assert_eq!(status.code(), tonic::Code::Internal);
    let reason = text(status.metadata(), "omnirelay-error-code");
    assert_eq!(reason, Some("dispatcher.procedure.panicked"));
    assert!(!format!("{status:?}").contains("hunter2"));
}
