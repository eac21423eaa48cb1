//! Procedures whose functions see values.

mod client;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use dispatcher::{
    Code, Codec as _, Dispatcher, Encoding as _, Json, Messages, Procedure, Proto, Raw, Request,
    Response, RpcError, Shape, TypedMessages, TypedRequest, TypedResponse,
};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};
use tower::util::MapRequestLayer;

use crate::kit::{built, offering, stream, texts};
use crate::rig::Rig;

#[derive(Clone, Debug, PartialEq, Deserialize, Serialize)]
struct Pet {
    name: String,
    age: u32,
}

fn pet(name: &str, age: u32) -> Pet {
    let name = name.to_owned();
    Pet { name, age }
}

/// A unary procedure that lets a pet have its birthday.
fn birthday() -> Procedure {
    Procedure::typed(Json).unary("birthday", async |request: TypedRequest<Pet>| {
        let Pet { name, age } = request.body;
        let mut response = TypedResponse::new(pet(&name, age + 1));
        response.headers.append("x-mood", "good").expect("a header");
        Ok(response)
    })
}

async fn call(dispatcher: &Dispatcher, shape: Shape, request: Request) -> Result<String, RpcError> {
    texts(dispatcher.call(shape, request).await?.messages).await
}

async fn unary(dispatcher: &Dispatcher, message: &'static str) -> Result<String, RpcError> {
    call(dispatcher, Shape::Unary, Request::new("birthday", message)).await
}

fn of_many(procedure: &str, messages: Messages) -> Request {
    Request {
        messages,
        ..Request::new(procedure, "")
    }
}

fn reason(error: &RpcError) -> &str {
    error.reason.as_deref().expect("a reason")
}

#[tokio::test]
async fn all_five_shapes_take_and_give_values() {
    let ages = Arc::new(AtomicUsize::new(0));
    let seen = Arc::clone(&ages);
    let noted = Procedure::typed(Json).oneway("note", move |request: TypedRequest<Pet>| {
        seen.store(request.body.age as usize, Ordering::Relaxed);
        std::future::ready(Ok(()))
    });
    let count = Procedure::typed(Json).server_stream(
        "count",
        async |request: TypedRequest<u32>| -> Result<TypedResponse<_>, RpcError> {
            Ok(TypedResponse::new(TypedMessages::of(1..=request.body)))
        },
    );
    let sum = Procedure::typed(Json).client_stream(
        "sum",
        async |mut request: TypedRequest<TypedMessages<u32>>| {
            let mut sum = 0;
            while let Some(number) = request.body.next().await {
                sum += number?;
            }
            Ok(TypedResponse::new(sum))
        },
    );
    let twice = Procedure::typed(Json).duplex(
        "twice",
        async |request: TypedRequest<TypedMessages<u32>>| {
            let doubled = futures_util::StreamExt::map(request.body, |it| it.map(|it| 2 * it));
            Ok(TypedResponse::new(doubled))
        },
    );
    let pets = offering([birthday(), noted, count, sum, twice]);

    let older = unary(&pets, r#"{"name":"Rex","age":3}"#).await.unwrap();
    assert_eq!(older, r#"{"name":"Rex","age":4}"#);
    let note = Request::new("note", r#"{"name":"Rex","age":7}"#);
    assert_eq!(call(&pets, Shape::Oneway, note).await.unwrap(), "");
    assert_eq!(ages.load(Ordering::Relaxed), 7);
    let counted = call(&pets, Shape::ServerStream, Request::new("count", "3")).await;
    assert_eq!(counted.unwrap(), "1 2 3");
    let numbers = of_many("sum", stream(&["1", "2", "39"]));
    let summed = call(&pets, Shape::ClientStream, numbers).await;
    assert_eq!(summed.unwrap(), "42");
    let numbers = of_many("twice", stream(&["1", "2"]));
    let doubled = call(&pets, Shape::Duplex, numbers).await;
    assert_eq!(doubled.unwrap(), "2 4");
}

#[tokio::test]
async fn a_call_that_names_no_encoding_is_in_that_of_the_procedure() {
    let pets = offering([birthday()]);
    let message = r#"{"name":"Rex","age":3}"#;
    let request = Request::new("birthday", message);
    let response = pets.call(Shape::Unary, request).await.unwrap();
    assert_eq!(response.encoding.as_deref(), Some("json"));
    assert_eq!(response.headers.first("x-mood"), Some("good"));

    let mut request = Request::new("birthday", message);
    request.meta.encoding = Some("Application/JSON".to_owned());
    let response = pets.call(Shape::Unary, request).await.unwrap();
    // Who calls it so may know no other name.
    assert_eq!(response.encoding.as_deref(), Some("Application/JSON"));
}

#[tokio::test]
async fn a_message_that_cannot_be_read_reaches_no_function_and_is_not_echoed() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let counting = Procedure::typed(Json).unary("birthday", move |request: TypedRequest<Pet>| {
        counter.fetch_add(1, Ordering::Relaxed);
        std::future::ready(Ok(TypedResponse::new(request.body)))
    });
    let pets = offering([counting]);
    for message in [
        r#"{"name":"Rex","age":"hunter2"}"#,
        r#"{"hunter2":"#,
        "hunter2",
        "",
        "null",
    ] {
        let error = unary(&pets, message).await.unwrap_err();
        assert_eq!(error.code, Code::InvalidArgument, "{message}");
        assert_eq!(reason(&error), "dispatcher.codec.decode_failed");
        assert_eq!(error.metadata["encoding"], "json");
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
    let mut request = Request::new("birthday", r#"{"name":"Rex","age":3}"#);
    request.meta.encoding = Some("hunter2".to_owned());
    let error = call(&pets, Shape::Unary, request).await.unwrap_err();
    assert_eq!(error.code, Code::InvalidArgument);
    assert_eq!(reason(&error), "dispatcher.codec.mismatch");
    assert_eq!(error.metadata["encoding"], "json");
    assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    assert_eq!(calls.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_stream_ends_with_an_error_at_the_message_that_cannot_be_read() {
    let told = Procedure::typed(Json).duplex(
        "tell",
        async |mut request: TypedRequest<TypedMessages<u32>>| {
            let mut told = Vec::new();
            while let Some(number) = request.body.next().await {
                told.push(match number {
                    Ok(number) => number.to_string(),
                    Err(error) => format!("{} {}", error.code, reason(&error)),
                });
            }
            Ok(TypedResponse::new(TypedMessages::of(told)))
        },
    );
    let pets = offering([told]);
    let numbers = of_many("tell", stream(&["1", "two", "3"]));
    let told = call(&pets, Shape::Duplex, numbers).await.unwrap();
    assert_eq!(
        told,
        r#""1" "INVALID_ARGUMENT dispatcher.codec.decode_failed""#
    );
}

#[tokio::test]
async fn what_cannot_be_written_is_a_fault_of_the_server() {
    let odd = Procedure::typed(Json).unary("odd", async |request: TypedRequest<u8>| {
        Ok(TypedResponse::new(BTreeMap::from([(
            vec![request.body],
            1,
        )])))
    });
    let pets = offering([odd]);
    let error = call(&pets, Shape::Unary, Request::new("odd", "77")).await;
    let error = error.unwrap_err();
    assert_eq!(error.code, Code::Internal);
    assert_eq!(reason(&error), "dispatcher.codec.encode_failed");
    assert!(!format!("{error:?}").contains("77"), "{error:?}");
}

#[tokio::test]
async fn of_two_encodings_the_call_says_which_and_is_answered_in_it() {
    let greet = Procedure::typed(Json.or(Proto))
        .unary("greet", async |it: TypedRequest<String>| {
            Ok(TypedResponse::new(format!("hello {}", it.body)))
        });
    let pets = offering([greet]);
    for (encoding, message, expected) in [
        (None, "\"Rex\"", "\"hello Rex\""),
        (Some("json"), "\"Rex\"", "\"hello Rex\""),
        (Some("protobuf"), "\n\x03Rex", "\n\x09hello Rex"),
    ] {
        let mut request = Request::new("greet", message);
        request.meta.encoding = encoding.map(str::to_owned);
        let answer = call(&pets, Shape::Unary, request).await.unwrap();
        assert_eq!(answer, expected, "{encoding:?}");
    }
}

#[tokio::test]
async fn layers_see_bytes_on_both_sides() {
    let shouting = MapRequestLayer::new(|request: Request| {
        assert!(request.meta.encoding.as_deref() == Some("raw"));
        let messages = Messages::one("REX");
        Request {
            messages,
            ..request
        }
    });
    let answered = tower::util::MapResponseLayer::new(|response: Response| {
        let prefix = format!("{:?}: ", response.messages);
        let prefix = futures_util::stream::iter([Ok(Bytes::from(prefix))]);
        let all = futures_util::StreamExt::chain(prefix, response.messages);
        Response::new(Messages::stream(all))
    });
    let echo = Procedure::typed(Raw).server_stream("echo", async |it: TypedRequest<Bytes>| {
        Ok(TypedResponse::new(TypedMessages::of([it.body])))
    });
    let (pets, _) = built(
        Dispatcher::builder("pets")
            .layer(answered)
            .procedure(echo.layer(shouting)),
    );
    let echoed = call(&pets, Shape::ServerStream, Request::new("echo", "rex")).await;
    assert_eq!(echoed.unwrap(), "a stream of messages:  REX");
}

#[tokio::test]
async fn over_http_a_message_that_cannot_be_read_is_400_with_its_reason() {
    let rig = Rig::started([birthday()]).await;
    let head = "Rpc-Procedure: birthday\r\n";
    let answer = rig.ask(head, r#"{"name":"Rex","age":3}"#).await;
    assert_eq!(
        (answer.status, &*answer.body),
        (200, r#"{"name":"Rex","age":4}"#)
    );
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let answer = rig.ask(head, "hunter2").await;
    assert_eq!((answer.status, answer.code()), (400, Code::InvalidArgument));
    let reason = answer.header("rpc-error-code");
    assert_eq!(reason, Some("dispatcher.codec.decode_failed"));
    assert!(!format!("{answer:?}").contains("hunter2"));
    let raw = format!("{head}Rpc-Encoding: application/json\r\n");
    let answer = rig.ask(&raw, r#"{"name":"Rex","age":3}"#).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let proto = format!("{head}Rpc-Encoding: proto\r\n");
    let answer = rig.ask(&proto, "").await;
    assert_eq!(answer.code(), Code::InvalidArgument);
    let reason = answer.header("rpc-error-code");
    assert_eq!(reason, Some("dispatcher.codec.mismatch"));
    rig.dispatcher.stop().await.unwrap();
}

proptest! {
    #[test]
    fn any_value_is_read_as_it_was_written(name: String, age: u32) {
        let rex = pet(&name, age);
        let written = Json.encode(&rex).unwrap();
        prop_assert_eq!(Json.decode(written), Ok(rex));
        let written = Proto.encode(&name).unwrap();
        prop_assert_eq!(Proto.decode(written), Ok(name));
    }

    #[test]
    fn whatever_the_message_is_reading_it_ends_well(message: Vec<u8>) {
        let message = Bytes::from(message);
        let _: Result<Pet, _> = Json.decode(message.clone());
        let _: Result<serde_json::Value, _> = Json.decode(message.clone());
        let _: Result<String, _> = Proto.decode(message.clone());
        prop_assert_eq!(Raw.decode(message.clone()), Ok(message));
    }
}
