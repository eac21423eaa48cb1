//! What stands around a procedure.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use dispatcher::{
    Code, Dispatcher, Handler, Messages, Meta, Outbound, Procedure, Request, Response, RouteKind,
    RpcError, Shape,
};
use lifecycle_core::{BoxError, component};
use tower::{Layer, Service, ServiceExt as _};

use crate::kit::{built, echo};

type Log = Arc<Mutex<Vec<String>>>;

/// Notes when a call goes in and out.
#[derive(Clone)]
struct Noting<S> {
    name: &'static str,
    log: Log,
    inner: S,
}

fn noting(name: &'static str, log: &Log) -> impl Layer<Handler, Service = Noting<Handler>> + use<> {
    let log = Arc::clone(log);
    tower::layer::layer_fn(move |inner| Noting {
        name,
        log: Arc::clone(&log),
        inner,
    })
}

impl Service<Request> for Noting<Handler> {
    type Response = Response;
    // Not ours, as with most layers.
    type Error = BoxError;
    type Future = std::pin::Pin<Box<dyn Future<Output = Result<Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(cx).map_err(Into::into)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let (name, log) = (self.name, Arc::clone(&self.log));
        log.lock().unwrap().push(format!("{name} in"));
        let answer = self.inner.call(request);
        Box::pin(async move {
            let answer = answer.await;
            log.lock().unwrap().push(format!("{name} out"));
            answer.map_err(Into::into)
        })
    }
}

#[tokio::test]
async fn contract_67_layers_run_from_the_outside_in() {
    let log = Log::default();
    let inside = Arc::clone(&log);
    let procedure = Procedure::unary("say", move |_| {
        inside.lock().unwrap().push("handler".to_owned());
        std::future::ready(Ok(Response::message("")))
    });
    let procedure = procedure
        .layer(noting("third", &log))
        .layer(noting("fourth", &log));
    let builder = Dispatcher::builder("pets")
        .layer(noting("first", &log))
        .procedure(procedure)
        .layer(noting("second", &log));
    let (dispatcher, _) = built(builder);
    dispatcher
        .call(Shape::Unary, Request::new("say", ""))
        .await
        .unwrap();
    assert_eq!(
        log.lock().unwrap().join(", "),
        "first in, second in, third in, fourth in, handler, fourth out, third out, second out, first out"
    );
}

#[tokio::test]
async fn what_is_registered_late_has_the_same_layers_around_it() {
    let log = Log::default();
    let (dispatcher, _) = built(Dispatcher::builder("pets").layer(noting("all", &log)));
    dispatcher.register(echo("late")).unwrap();
    dispatcher
        .call(Shape::Unary, Request::new("late", ""))
        .await
        .unwrap();
    assert_eq!(log.lock().unwrap().join(", "), "all in, all out");
}

#[tokio::test]
async fn our_errors_pass_through_layers_of_strangers() {
    let failing = async |_| Err(RpcError::new(Code::Aborted, "overtaken"));
    let procedure = Procedure::unary("fail", failing).layer(noting("any", &Log::default()));
    let (dispatcher, _) = built(Dispatcher::builder("pets").procedure(procedure));
    let error = dispatcher
        .call(Shape::Unary, Request::new("fail", ""))
        .await;
    assert_eq!(
        error.unwrap_err(),
        RpcError::new(Code::Aborted, "overtaken")
    );
}

#[tokio::test]
async fn an_outbound_has_layers_of_its_own() {
    let log = Log::default();
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let carrier = dispatcher::handler_fn(async |_| Ok(Response::message("back")));
    let outbound =
        Outbound::new("plants", [Shape::Unary], idle, carrier).layer(noting("out", &log));
    let (dispatcher, _) = built(Dispatcher::builder("pets").outbound(outbound));
    let way = dispatcher.outbound("plants", None, Shape::Unary).unwrap();
    let answer = way.oneshot(Request::new("grow", "")).await.unwrap();
    assert_eq!(answer.into_message().await.unwrap(), "back");
    assert_eq!(log.lock().unwrap().join(", "), "out in, out out");
}

/// Notes by which protocol a call has come, and what has taken it.
fn routes(log: &Log) -> impl Layer<Handler, Service = Handler> + use<> {
    let log = Arc::clone(log);
    tower::layer::layer_fn(move |inner: Handler| {
        let log = Arc::clone(&log);
        let note = move |request: Request| {
            let (transport, route) = (request.meta.transport, request.meta.route.clone());
            let route = route.expect("it was taken");
            let note = format!("{transport:?} {:?} {}", route.kind, route.name);
            log.lock().unwrap().push(format!("{note} {}", route.shape));
            request
        };
        dispatcher::handler(inner.map_request(note))
    })
}

#[tokio::test]
async fn layers_are_told_what_has_taken_a_call_by_the_name_that_was_registered() {
    let log = Log::default();
    let idle = component::from_fn(async |_| Ok(()), async |_| Ok(()));
    let carrier = dispatcher::handler_fn(async |_| Ok(Response::message("back")));
    let outbound = Outbound::new(" plants ", [Shape::Unary], idle, carrier).layer(routes(&log));
    let builder = Dispatcher::builder("pets")
        .layer(routes(&log))
        .outbound(outbound)
        .procedure(dispatcher::Relay::to("plants").procedure(Shape::Unary, "grow::*"))
        .procedure(echo("echo").alias("say"));
    let (dispatcher, _) = built(builder);
    for (procedure, transport) in [("SAY", None), ("grow::roses", Some("pigeon"))] {
        let mut request = Request::new(procedure, "");
        request.meta.transport = transport;
        dispatcher.call(Shape::Unary, request).await.unwrap();
    }
    assert_eq!(
        log.lock().unwrap()[..],
        [
            "None Procedure echo unary",
            "Some(\"pigeon\") Procedure grow::* unary",
            "Some(\"pigeon\") Outbound plants:default:unary unary",
        ]
    );
}

#[tokio::test]
async fn contract_66_and_67_a_call_that_finds_nothing_goes_through_the_layers_of_all_and_is_refused_inside_of_them()
 {
    let log = Log::default();
    let inner = echo("echo").layer(noting("of echo", &log));
    let builder = Dispatcher::builder("pets")
        .layer(noting("of all", &log))
        .layer(routes(&log))
        .procedure(inner);
    let (dispatcher, _) = built(builder);
    let mut elsewhere = Request::new("echo", "");
    elsewhere.meta.service = Some("plants".to_owned());
    for (request, code, reason) in [
        (
            Request::new("other", ""),
            Code::Unimplemented,
            "dispatcher.procedure.unknown",
        ),
        (
            elsewhere,
            Code::Unimplemented,
            "dispatcher.procedure.unknown",
        ),
        (
            Request::new(" ", ""),
            Code::InvalidArgument,
            "dispatcher.procedure.missing",
        ),
    ] {
        let error = dispatcher.call(Shape::Duplex, request).await.unwrap_err();
        assert_eq!((error.code, error.reason.as_deref()), (code, Some(reason)));
        let noted = std::mem::take(&mut *log.lock().unwrap());
        assert_eq!(
            noted,
            ["of all in", "None Unknown unknown duplex", "of all out"]
        );
    }
}

#[tokio::test]
async fn a_layer_of_all_may_answer_what_finds_nothing_and_its_panic_is_caught() {
    let answering = tower::layer::layer_fn(|inner: Handler| {
        dispatcher::handler_fn(move |request: Request| {
            let inner = inner.clone();
            async move {
                let kind = request.meta.route.as_ref().map(|it| it.kind);
                match &*request.meta.procedure {
                    "panic" => panic!("hunter2"),
                    "old" if kind == Some(RouteKind::Unknown) => Ok(Response::message("moved")),
                    _ => inner.oneshot(request).await,
                }
            }
        })
    });
    let (dispatcher, _) = built(Dispatcher::builder("pets").layer(answering));
    let call = async |shape, procedure: &str| {
        let meta = Meta::new(procedure);
        let messages = Messages::none();
        dispatcher.call(shape, Request { meta, messages }).await
    };
    let moved = call(Shape::Unary, "old").await.unwrap();
    assert_eq!(moved.into_message().await.unwrap(), "moved");
    let panicked = call(Shape::Unary, "panic").await.unwrap_err();
    assert_eq!(panicked.code, Code::Internal);
    assert!(!panicked.to_string().contains("hunter2"), "{panicked}");
    let other = call(Shape::Unary, "other").await.unwrap_err();
    assert_eq!(other.code, Code::Unimplemented);
}
