//! Calls with values, from one dispatcher to another: in one process, over HTTP and over gRPC.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dispatcher::{
    Client, Code, Dispatcher, DispatcherBuilder, Encoding as _, GrpcInbound, GrpcOutbound,
    HttpInbound, HttpOutbound, Json, Messages, Outbound, Procedure, Proto, Request, Response,
    RpcError, Shape, TypedMessages, TypedRequest, TypedResponse, handler_fn,
};
use futures_util::{StreamExt as _, stream};
use lifecycle_core::component;
use lifecycle_runtime::Orchestrator;
use tokio::sync::Notify;

use crate::kit::{Source, built, echo, offering};
use crate::rig::{Rig, any_port, hanging, within};

fn refuse(number: u32) -> RpcError {
    RpcError::new(Code::OutOfRange, format!("{number} is too much"))
}

/// A procedure of each shape, all of them about numbers.
fn numbers() -> [Procedure; 5] {
    let typed = Procedure::typed(Json.or(Proto));
    let twice = typed.unary("twice", async |request: TypedRequest<u32>| {
        let doubled = request.body.checked_mul(2);
        let doubled = doubled.ok_or_else(|| refuse(request.body))?;
        let mut response = TypedResponse::new(doubled);
        response.headers.append("x-mood", "good").expect("a header");
        Ok(response)
    });
    let note = typed.oneway("note", async |request: TypedRequest<u32>| {
        (request.body < 100)
            .then_some(())
            .ok_or_else(|| refuse(request.body))
    });
    let count = typed.server_stream("count", async |request: TypedRequest<u32>| {
        let numbers = (1..=request.body).map(|it| match it {
            4.. => Err(refuse(it)),
            _ => Ok(it),
        });
        Ok(TypedResponse::new(stream::iter(numbers)))
    });
    let sum = typed.client_stream(
        "sum",
        async |mut request: TypedRequest<TypedMessages<u32>>| {
            let mut sum = 0;
            while let Some(number) = request.body.next().await {
                sum += number?;
            }
            Ok(TypedResponse::new(sum))
        },
    );
    let each = typed.duplex("each", async |request: TypedRequest<TypedMessages<u32>>| {
        let doubled = request.body.map(|it| it.map(|it| 2 * it));
        Ok(TypedResponse::new(doubled))
    });
    [twice, note, count, sum, each]
}

/// A way to `callee` in this process.
fn in_process(callee: Dispatcher) -> Outbound {
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    Outbound::by_shape("numbers", Shape::ALL, idle, move |shape| {
        let callee = callee.clone();
        handler_fn(move |mut request: Request| {
            let callee = callee.clone();
            // It is another name here.
            request.meta.service = None;
            async move { callee.call(shape, request).await }
        })
    })
}

/// A dispatcher whose way to `numbers` ends at a handler of this function.
fn calling<F, Fut>(answer: F) -> Dispatcher
where
    F: Fn(Request) -> Fut + Clone + Send + Sync + 'static,
    Fut: Future<Output = Result<Response, RpcError>> + Send + 'static,
{
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let outbound = Outbound::new("numbers", Shape::ALL, idle, handler_fn(answer));
    built(Dispatcher::builder("shop").outbound(outbound)).0
}

/// A dispatcher with a way to `numbers` at `url`.
async fn over_http(url: &str) -> Rig {
    let outbound = HttpOutbound::new("numbers", url).expect("a URL");
    let builder = Dispatcher::builder("shop").outbound(outbound);
    Rig::of(builder, HttpInbound::new(any_port())).await
}

fn request<T>(procedure: &str, body: T) -> TypedRequest<T> {
    TypedRequest::new(procedure, body)
}

/// Everything that comes, with what it ends with.
async fn all(mut values: TypedMessages<u32>) -> (Vec<u32>, Option<RpcError>) {
    let mut all = Vec::new();
    while let Some(value) = values.next().await {
        match value {
            Ok(value) => all.push(value),
            Err(error) => return (all, Some(error)),
        }
    }
    (all, None)
}

type Answer = Result<TypedResponse<u32>, RpcError>;
type Answers = Result<TypedResponse<TypedMessages<u32>>, RpcError>;

/// The shapes that every transport carries.
async fn one_there<C>(numbers: &Client<C>)
where
    C: dispatcher::Codec<u32>,
{
    let answer: Answer = within(numbers.unary(request("twice", 21))).await;
    let answer = answer.unwrap();
    assert_eq!(answer.body, 42);
    assert_eq!(answer.headers.first("x-mood"), Some("good"));
    let refused: Answer = within(numbers.unary(request("twice", u32::MAX))).await;
    assert_eq!(refused.unwrap_err().code, Code::OutOfRange);

    assert_eq!(within(numbers.oneway(request("note", 7))).await, Ok(()));
    let refused = within(numbers.oneway(request("note", 100))).await;
    assert_eq!(refused.unwrap_err().message, "100 is too much");

    let counted: Answers = within(numbers.server_stream(request("count", 3))).await;
    assert_eq!(
        within(all(counted.unwrap().body)).await,
        (vec![1, 2, 3], None)
    );
    let counted: Answers = within(numbers.server_stream(request("count", 9))).await;
    let (counted, error) = within(all(counted.unwrap().body)).await;
    assert_eq!(counted, [1, 2, 3]);
    assert_eq!(error.unwrap().code, Code::OutOfRange);
}

#[tokio::test]
async fn in_one_process_all_five_shapes_carry_values_in_either_encoding() {
    let outbound = in_process(offering(numbers()));
    let (shop, _) = built(Dispatcher::builder("shop").outbound(outbound));
    one_there(&shop.client("numbers", Proto)).await;
    let numbers = shop.client(" Numbers ", Json);
    one_there(&numbers).await;

    let sum = numbers.client_stream(request("sum", TypedMessages::of([1, 2, 39])));
    let sum: Answer = sum.await;
    assert_eq!(sum.unwrap().body, 42);
    let each = numbers.duplex(request("each", TypedMessages::of([1, 2])));
    let each: Answers = each.await;
    assert_eq!(all(each.unwrap().body).await, (vec![2, 4], None));
}

#[tokio::test]
async fn an_error_among_the_values_gives_the_call_up() {
    let outbound = in_process(offering(numbers()));
    let (shop, _) = built(Dispatcher::builder("shop").outbound(outbound));
    let numbers = shop.client("numbers", Json);
    let broken = || {
        let error = RpcError::new(Code::Aborted, "no more");
        stream::iter([Ok(1), Err(error), Ok(3)])
    };
    let sum: Answer = numbers.client_stream(request("sum", broken())).await;
    assert_eq!(sum.unwrap_err().code, Code::Aborted);
    let each: Answers = numbers.duplex(request("each", broken())).await;
    let (each, error) = all(each.unwrap().body).await;
    assert_eq!((each, error.unwrap().code), (vec![2], Code::Aborted));
}

#[tokio::test]
async fn over_http_values_and_errors_are_the_same() {
    let upstream = Rig::started(numbers()).await;
    let shop = over_http(&upstream.url()).await;
    // The upstream goes by another name, which over HTTP nobody asks for.
    one_there(&shop.dispatcher.client("numbers", Json)).await;
    one_there(&shop.dispatcher.client("numbers", Proto)).await;
    shop.dispatcher.stop().await.unwrap();
    upstream.dispatcher.stop().await.unwrap();
}

#[tokio::test]
async fn over_http_a_message_beyond_the_limit_is_refused_on_either_side() {
    let large = Procedure::typed(Json).unary("large", async |it: TypedRequest<usize>| {
        Ok(TypedResponse::new("x".repeat(it.body)))
    });
    let length = Procedure::typed(Json).unary("length", async |it: TypedRequest<String>| {
        Ok(TypedResponse::new(it.body.len()))
    });
    let upstream = Rig::started([large, length]).await;
    let shop = over_http(&upstream.url()).await;
    let client = shop.dispatcher.client("numbers", Json);
    let fits: TypedResponse<String> = within(client.unary(request("large", 1000))).await.unwrap();
    assert_eq!(fits.body.len(), 1000);
    let answer: Result<TypedResponse<String>, _> =
        within(client.unary(request("large", 2 << 20))).await;
    assert_eq!(answer.unwrap_err().code, Code::ResourceExhausted);
    let text = "x".repeat(2 << 20);
    let answer: Result<TypedResponse<usize>, _> =
        within(client.unary(request("length", text))).await;
    assert_eq!(answer.unwrap_err().code, Code::ResourceExhausted);
}

#[tokio::test]
async fn a_way_that_there_is_not_is_not_found_whatever_of_it_is_missing() {
    let shop = over_http("http://127.0.0.1:9/").await.dispatcher;
    let check = |error: RpcError, expected: &str| {
        assert_eq!(error.code, Code::NotFound);
        assert_eq!(error.reason.as_deref(), Some("dispatcher.outbound.unknown"));
        assert!(error.message.contains(expected), "{error}");
    };
    let nowhere: Answer = shop.client("letters", Json).unary(request("a", 1)).await;
    check(nowhere.unwrap_err(), "letters:default:unary");
    let elsewhere = shop.client("numbers", Json).key("eu");
    let elsewhere: Answer = elsewhere.unary(request("twice", 1)).await;
    check(elsewhere.unwrap_err(), "numbers:eu:unary");
    // HTTP does not carry it.
    let each = shop.client("numbers", Json);
    let each: Answers = each.duplex(request("each", TypedMessages::of([1]))).await;
    check(each.unwrap_err(), "numbers:default:duplex");
}

#[tokio::test]
async fn a_blank_service_and_a_blank_procedure_are_invalid() {
    let shop = calling(async |_| panic!("nobody is called"));
    let blank: Answer = shop.client(" ", Json).unary(request("twice", 1)).await;
    assert_eq!(blank.unwrap_err().code, Code::InvalidArgument);
    let blank: Answer = shop.client("numbers", Json).unary(request(" ", 1)).await;
    let blank = blank.unwrap_err();
    assert_eq!(blank.code, Code::InvalidArgument);
    let reason = blank.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.procedure.missing"));
}

#[tokio::test]
async fn a_way_that_is_not_open_is_a_failed_precondition() {
    let outbound = HttpOutbound::new("numbers", "http://127.0.0.1:9/").unwrap();
    let (shop, _) = built(Dispatcher::builder("shop").outbound(outbound));
    let numbers = shop.client("numbers", Json);
    let early: Answer = numbers.unary(request("twice", 1)).await;
    let early = early.unwrap_err();
    assert_eq!(early.code, Code::FailedPrecondition);
    let reason = early.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.outbound.not_started"));
}

#[tokio::test]
async fn who_is_called_learns_service_caller_encoding_headers_and_deadline() {
    let shop = calling(async |request: Request| {
        let meta = request.meta;
        let left = meta.time_left(Instant::now()).expect("a deadline");
        let told = serde_json::json!([
            meta.service,
            meta.procedure,
            meta.caller,
            meta.encoding,
            meta.routing_key,
            meta.headers.first("x-tenant"),
            meta.headers.first("x-mood"),
            left > Duration::from_secs(1) && left < Duration::from_secs(9),
        ]);
        Ok(Response::message(told.to_string()))
    });
    let numbers = shop.client("numbers", Json).timeout(Duration::from_secs(8));
    let numbers = numbers.header("X-Tenant", "blue").unwrap();
    let numbers = numbers.header("x-mood", "good").unwrap();
    let told = async |request| -> Vec<serde_json::Value> {
        numbers.unary::<u32, _>(request).await.unwrap().body
    };
    let expected = r#"["numbers","tell","shop","json",null,"blue","good",true]"#;
    let all = told(request("tell", 1)).await;
    assert_eq!(serde_json::to_string(&all).unwrap(), expected);

    // What a call says itself counts, but for service and encoding, which are the client's.
    let mut own = request("tell", 1);
    own.meta.service = Some("letters".to_owned());
    own.meta.caller = Some("till".to_owned());
    own.meta.encoding = Some("raw".to_owned());
    own.meta.routing_key = Some("eu".to_owned());
    own.meta.headers.append("x-mood", "bad").unwrap();
    let expected = r#"["numbers","tell","till","json","eu","blue","bad",true]"#;
    let all = told(own).await;
    assert_eq!(serde_json::to_string(&all).unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn at_its_deadline_a_call_is_given_up_whatever_the_outbound_does() {
    let shop = calling(async |_| std::future::pending().await);
    let numbers = shop.client("numbers", Json).timeout(Duration::from_secs(2));
    let begun = tokio::time::Instant::now();
    let late: Answer = numbers.unary(request("twice", 1)).await;
    assert_eq!(late.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));

    let mut hasty = request("twice", 1);
    hasty.meta.limit(begun.into_std(), Duration::ZERO);
    let late: Answer = numbers.unary(hasty).await;
    assert_eq!(late.unwrap_err().code, Code::DeadlineExceeded);
    assert_eq!(begun.elapsed(), Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn at_its_deadline_a_stream_ends_with_an_error() {
    let shop = calling(async |_| {
        let first = stream::iter([Ok("1".into())]);
        Ok(Response::new(Messages::stream(
            first.chain(stream::pending()),
        )))
    });
    let numbers = shop.client("numbers", Json).timeout(Duration::from_secs(2));
    let counted: Answers = numbers.server_stream(request("count", 9)).await;
    let (counted, error) = all(counted.unwrap().body).await;
    assert_eq!(counted, [1]);
    assert_eq!(error.unwrap().code, Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_dropped_call_is_given_up_at_the_other_side_of_http() {
    let (entered, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let upstream = Rig::started([hanging(&entered, &dropped)]).await;
    let shop = over_http(&upstream.url()).await;
    let client = shop.dispatcher.client("numbers", Json);
    let call = tokio::spawn(async move {
        let _: Answer = client.unary(request("hang", 1)).await;
    });
    within(entered.notified()).await;
    call.abort();
    within(dropped.notified()).await;
}

#[tokio::test]
async fn an_answer_that_cannot_be_read_is_the_fault_of_the_server_and_not_echoed() {
    for (encoding, answer, reason) in [
        (None, Messages::one("\"hunter2\""), "decode_failed"),
        (Some("raw"), Messages::one("42"), "mismatch"),
    ] {
        let answer = std::sync::Mutex::new(Some(answer));
        let answer = Arc::new(answer);
        let shop = calling(move |_| {
            let messages = answer.lock().unwrap().take().expect("called once");
            let encoding = encoding.map(str::to_owned);
            std::future::ready(Ok(Response {
                encoding,
                ..Response::new(messages)
            }))
        });
        let numbers = shop.client("numbers", Json);
        let broken: Answer = numbers.unary(request("twice", 1)).await;
        let broken = broken.unwrap_err();
        assert_eq!(broken.code, Code::Internal);
        let reason = format!("dispatcher.codec.{reason}");
        assert_eq!(broken.reason, Some(reason));
        assert!(!format!("{broken:?}").contains("hunter2"), "{broken:?}");
    }
}

#[tokio::test]
async fn no_answer_and_several_are_the_fault_of_the_server() {
    let several = || Messages::stream(stream::iter(["1", "2"].map(|it| Ok(it.into()))));
    for make in [Messages::none, several] {
        let shop = calling(move |_| std::future::ready(Ok(Response::new(make()))));
        let numbers = shop.client("numbers", Json);
        let broken: Answer = numbers.unary(request("twice", 1)).await;
        assert_eq!(broken.unwrap_err().code, Code::Internal);
    }
}

#[tokio::test]
async fn an_answer_in_the_other_of_two_encodings_is_read() {
    let shop = calling(async |request: Request| {
        assert_eq!(request.meta.encoding.as_deref(), Some("json"));
        // 42 as the wrapper of a number.
        let mut response = Response::message(&b"\x08\x2a"[..]);
        response.encoding = Some("protobuf".to_owned());
        Ok(response)
    });
    let numbers = shop.client("numbers", Json.or(Proto));
    let answer: Answer = numbers.unary(request("twice", 21)).await;
    assert_eq!(answer.unwrap().body, 42);
}

#[tokio::test]
async fn what_cannot_be_written_is_not_sent() {
    let shop = calling(async |_| panic!("nobody is called"));
    let body = BTreeMap::from([(vec![7_u8], 1)]);
    let unsent: Answer = shop.client("numbers", Json).unary(request("a", body)).await;
    let unsent = unsent.unwrap_err();
    assert_eq!(unsent.code, Code::Internal);
    let reason = unsent.reason.as_deref();
    assert_eq!(reason, Some("dispatcher.codec.encode_failed"));
}

#[tokio::test]
async fn values_that_nobody_wants_any_more_are_given_up_at_the_other_side_of_http() {
    let source = Source::new();
    let upstream = Rig::started([source.procedure("feed")]).await;
    let shop = over_http(&upstream.url()).await;
    let client = shop.dispatcher.client("numbers", Json);
    let fed: Answers = within(client.server_stream(request("feed", 1))).await;
    let mut fed = fed.unwrap().body;
    assert_eq!(within(fed.next()).await, Some(Ok(1)));
    drop(fed);
    within(source.dropped()).await;
}

#[tokio::test]
async fn a_procedure_passes_values_on_and_its_errors_come_back() {
    let upstream = Rig::started(numbers()).await;
    let shop = over_http(&upstream.url()).await;
    let numbers = shop.dispatcher.client("numbers", Proto);
    let typed = Procedure::typed(Json);
    let count = typed.server_stream("count-on", move |incoming: TypedRequest<u32>| {
        let numbers = numbers.clone();
        async move {
            let mut onward = request("count", incoming.body);
            onward.meta.deadline = incoming.meta.deadline;
            numbers.server_stream::<u32, u32>(onward).await
        }
    });
    shop.dispatcher.register(count).unwrap();
    let front = over_http(&shop.url()).await;
    let client = front.dispatcher.client("numbers", Json);
    let client = client.timeout(Duration::from_secs(20));
    let counted: Answers = within(client.server_stream(request("count-on", 9))).await;
    let (counted, error) = within(all(counted.unwrap().body)).await;
    assert_eq!(counted, [1, 2, 3]);
    assert_eq!(error.unwrap().message, "4 is too much");
}

#[tokio::test]
async fn a_procedure_that_keeps_a_client_of_its_dispatcher_does_not_keep_that() {
    let held = Arc::new(());
    let inside = Arc::clone(&held);
    let shop = calling(async |_| Ok(Response::empty()));
    let client = shop.client("numbers", Json);
    let keeping = Procedure::oneway("keep", move |_| {
        let _kept = (&client, &inside);
        std::future::ready(Ok(()))
    });
    shop.register(keeping).unwrap();
    assert_eq!(Arc::strong_count(&held), 2);
    drop(shop);
    assert_eq!(Arc::strong_count(&held), 1);
}

#[tokio::test]
async fn a_component_that_keeps_a_client_does_not_keep_the_orchestrator() {
    let (shop, registrations) = built(Dispatcher::builder("shop").procedure(echo("echo")));
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let handle = builder.build().unwrap().spawn();
    let events = handle.status();
    let shop = shop.driven_by(handle);
    shop.start().await.unwrap();
    let client = shop.client("numbers", Json);
    shop.stop().await.unwrap();
    drop(shop);
    let mut status = events;
    // It ends with its last handle.
    within(async { while status.changed().await.is_ok() {} }).await;
    drop(client);
}

#[tokio::test]
async fn over_grpc_all_five_shapes_carry_values_in_either_encoding() {
    let inbound = GrpcInbound::new(any_port());
    let port = inbound.port();
    let empty = Dispatcher::builder("numbers").inbound(inbound);
    let procedures = numbers().into_iter();
    let upstream = driven(procedures.fold(empty, DispatcherBuilder::procedure)).await;
    let address = port.local_addr().expect("it listens").to_string();
    let outbound = GrpcOutbound::new("numbers", &address).expect("an address");
    let shop = driven(Dispatcher::builder("shop").outbound(outbound)).await;
    one_there(&shop.client("numbers", Proto)).await;
    let numbers = shop.client("numbers", Json);
    one_there(&numbers).await;

    let sum = numbers.client_stream(request("sum", TypedMessages::of([1, 2, 39])));
    let sum: Answer = within(sum).await;
    assert_eq!(sum.unwrap().body, 42);
    let each = numbers.duplex(request("each", TypedMessages::of([1, 2])));
    let each: Answers = within(each).await;
    assert_eq!(within(all(each.unwrap().body)).await, (vec![2, 4], None));
    shop.stop().await.unwrap();
    upstream.stop().await.unwrap();
}

/// What `builder` makes, started.
async fn driven(builder: DispatcherBuilder) -> Dispatcher {
    let (dispatcher, registrations) = built(builder);
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let handle = builder.build().expect("a sound setup").spawn();
    let dispatcher = dispatcher.driven_by(handle);
    dispatcher.start().await.expect("a free port");
    dispatcher
}
