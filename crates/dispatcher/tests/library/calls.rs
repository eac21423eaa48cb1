//! What becomes of a call.

use dispatcher::{Code, Fault, Messages, Meta, Procedure, Request, Response, RpcError, Shape};

use crate::kit::{echo, offering, stream, texts};

async fn error(dispatcher: &dispatcher::Dispatcher, shape: Shape, request: Request) -> RpcError {
    let answer = dispatcher.call(shape, request).await;
    answer.expect_err("it is refused")
}

fn streamed(procedure: &str, messages: Messages) -> Request {
    Request {
        meta: Meta::new(procedure),
        messages,
    }
}

#[tokio::test]
async fn each_shape_carries_as_many_messages_as_it_says() {
    let upper = async |request: Request| {
        let text = texts(request.messages).await?;
        Ok(Response::message(text.to_uppercase()))
    };
    let split = async |request: Request| {
        let text = request.into_message().await?;
        let words = String::from_utf8_lossy(&text).into_owned();
        let words: Vec<_> = words.split(' ').collect();
        Ok(Response::new(stream(&words)))
    };
    let dispatcher = offering([
        echo("echo"),
        Procedure::oneway("note", async |request: Request| {
            request.into_message().await.map(drop)
        }),
        Procedure::server_stream("split", split),
        Procedure::client_stream("upper", upper),
        Procedure::duplex("mirror", async |request: Request| {
            Ok(Response::new(request.messages))
        }),
    ]);
    for (shape, request, expected) in [
        (Shape::Unary, Request::new("echo", "a b"), "a b"),
        (Shape::Oneway, Request::new("note", "a b"), ""),
        (Shape::ServerStream, Request::new("split", "a b"), "a b"),
        (
            Shape::ClientStream,
            streamed("upper", stream(&["a", "b"])),
            "A B",
        ),
        (
            Shape::Duplex,
            streamed("mirror", stream(&["a", "b"])),
            "a b",
        ),
    ] {
        let response = dispatcher.call(shape, request).await.unwrap();
        assert_eq!(response.messages.is_stream(), shape.streams_responses());
        assert_eq!(texts(response.messages).await.unwrap(), expected, "{shape}");
    }
}

#[tokio::test]
async fn contract_66_what_nobody_registered_is_unimplemented() {
    let dispatcher = offering([echo("echo")]);
    for (shape, name) in [(Shape::Unary, "other"), (Shape::Oneway, "echo")] {
        let error = error(&dispatcher, shape, Request::new(name, "")).await;
        assert_eq!(error.code, Code::Unimplemented);
        assert_eq!(error.code.http_status(), 501);
        assert!(error.message.contains(name), "{error}");
    }
}

#[tokio::test]
async fn another_services_procedure_is_unimplemented_and_the_own_name_is_none_to_say() {
    let dispatcher = offering([echo("echo")]);
    for (service, expected) in [("plants", false), (" PETS ", true)] {
        let mut request = Request::new("echo", "");
        request.meta.service = Some(service.to_owned());
        let answer = dispatcher.call(Shape::Unary, request).await;
        assert_eq!(answer.is_ok(), expected, "{service}");
    }
}

#[tokio::test]
async fn a_call_without_a_procedure_is_an_invalid_argument() {
    let dispatcher = offering([echo("*")]);
    let error = error(&dispatcher, Shape::Unary, Request::new("  ", "")).await;
    assert_eq!(error.code, Code::InvalidArgument);
    assert_eq!(
        error.reason.as_deref(),
        Some("dispatcher.procedure.missing")
    );
}

#[tokio::test]
async fn a_stream_is_refused_where_the_shape_has_one_message() {
    let dispatcher = offering([echo("echo")]);
    let request = streamed("echo", stream(&["a"]));
    let error = error(&dispatcher, Shape::Unary, request).await;
    assert_eq!(error.code, Code::InvalidArgument);
}

#[tokio::test]
async fn an_answer_of_another_shape_is_an_internal_error_that_names_the_procedure() {
    let wrong = async |_| Ok(Response::new(stream(&["a", "b"])));
    let dispatcher = offering([Procedure::unary("wrong", wrong)]);
    let error = error(&dispatcher, Shape::Unary, Request::new("wrong", "")).await;
    assert_eq!(error.code, Code::Internal);
    assert!(error.message.contains("\"wrong\""), "{error}");
}

#[tokio::test]
async fn an_error_of_the_handler_reaches_the_caller_as_it_is() {
    let gone = RpcError::new(Code::NotFound, "no such pet")
        .with_reason("pets.unknown")
        .with_metadata("id", "7");
    let told = gone.clone();
    let find = move |_| std::future::ready(Err(told.clone()));
    let dispatcher = offering([Procedure::unary("find", find)]);
    assert_eq!(
        error(&dispatcher, Shape::Unary, Request::new("find", "")).await,
        gone
    );
}

#[tokio::test]
async fn the_encoding_is_the_callers_or_else_the_procedures() {
    let tell =
        async |request: Request| Ok(Response::message(request.meta.encoding.unwrap_or_default()));
    let dispatcher = offering([Procedure::unary("tell", tell).encoding("json")]);
    let mut request = Request::new("tell", "");
    let answer = dispatcher
        .call(Shape::Unary, Request::new("tell", ""))
        .await;
    assert_eq!(answer.unwrap().into_message().await.unwrap(), "json");
    request.meta.encoding = Some("raw".to_owned());
    let answer = dispatcher.call(Shape::Unary, request).await;
    assert_eq!(answer.unwrap().into_message().await.unwrap(), "raw");
}

#[tokio::test]
async fn what_is_registered_late_is_found_by_all_clones_and_what_cannot_be_changes_nothing() {
    let dispatcher = offering([echo("echo")]);
    let clone = dispatcher.clone();
    assert!(!clone.offers(Shape::Unary, "late::one"));
    dispatcher.register(echo("late::*").alias("later")).unwrap();
    for name in ["late::one", "LATER"] {
        let answer = clone.call(Shape::Unary, Request::new(name, "x")).await;
        assert_eq!(answer.unwrap().into_message().await.unwrap(), "x");
    }
    let refused = dispatcher.register(echo("new").alias("Echo")).unwrap_err();
    let (shape, name) = (Shape::Unary, "Echo".to_owned());
    assert_eq!(refused.faults, [Fault::DuplicateProcedure { shape, name }]);
    assert_eq!(refused.faults[0].code(), Code::FailedPrecondition);
    assert!(!dispatcher.offers(Shape::Unary, "new"));
}
