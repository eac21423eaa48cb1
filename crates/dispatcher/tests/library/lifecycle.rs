//! The dispatcher with an orchestrator.

use std::sync::{Arc, Mutex};

use dispatcher::{Dispatcher, Inbound, LifecycleError, Request, Shape};
use lifecycle_core::engine::OrchestratorState;
use lifecycle_core::{Registration, component};
use lifecycle_runtime::Orchestrator;
use lifecycle_testkit::{Hook, Scripted, simulate};

use crate::kit::{built, echo};

/// The dispatcher, connected with the orchestrator of its registrations.
#[track_caller]
fn driven((dispatcher, registrations): (Dispatcher, Vec<Registration>)) -> Dispatcher {
    let mut builder = Orchestrator::builder();
    builder.registrations(registrations);
    let orchestrator = builder.build().expect("a sound setup");
    dispatcher.driven_by(orchestrator.spawn())
}

#[test]
fn contract_43_the_dispatcher_is_created_starting_running_stopping_or_stopped() {
    simulate(async {
        let seen: Arc<Mutex<Vec<OrchestratorState>>> = Arc::default();
        let (in_start, in_stop) = (Arc::clone(&seen), Arc::clone(&seen));
        let builder = Dispatcher::builder("pets").bound_component(move |dispatcher| {
            let other = dispatcher.clone();
            let started = move |_| {
                in_start.lock().unwrap().push(dispatcher.status());
                std::future::ready(Ok(()))
            };
            let stopped = move |_| {
                in_stop.lock().unwrap().push(other.status());
                std::future::ready(Ok(()))
            };
            Registration::new("witness", component::from_fn(started, stopped))
        });
        let built = built(builder);
        assert_eq!(built.0.status(), OrchestratorState::Created);
        let dispatcher = driven(built);
        assert_eq!(dispatcher.status(), OrchestratorState::Created);
        dispatcher.start().await.unwrap();
        assert_eq!(dispatcher.status(), OrchestratorState::Running);
        dispatcher.stop().await.unwrap();
        assert_eq!(dispatcher.status(), OrchestratorState::Stopped);
        assert_eq!(
            *seen.lock().unwrap(),
            [OrchestratorState::Starting, OrchestratorState::Stopping]
        );
    });
}

#[test]
fn contract_53_who_asks_for_the_dispatcher_has_it_before_it_is_started() {
    simulate(async {
        let answers: Arc<Mutex<Vec<String>>> = Arc::default();
        let heard = Arc::clone(&answers);
        let asking = move |dispatcher: Dispatcher| {
            component::from_fn(
                move |_| {
                    let (dispatcher, heard) = (dispatcher.clone(), Arc::clone(&heard));
                    async move {
                        let answer = dispatcher.call(Shape::Unary, Request::new("echo", "hi"));
                        let message = answer.await?.into_message().await?;
                        let text = String::from_utf8_lossy(&message).into_owned();
                        heard.lock().unwrap().push(text);
                        Ok(())
                    }
                },
                async |_| Ok(()),
            )
        };
        let builder = Dispatcher::builder("pets")
            .procedure(echo("echo"))
            .inbound(Inbound::http(asking.clone()))
            .bound_component(move |it| Registration::new("other", asking(it)));
        let dispatcher = driven(built(builder));
        dispatcher.start().await.unwrap();
        assert_eq!(*answers.lock().unwrap(), ["hi", "hi"]);
        dispatcher.stop().await.unwrap();
    });
}

#[test]
fn contract_08_one_instance_under_several_names_is_started_and_stopped_once() {
    simulate(async {
        let scripted = Scripted::new("store");
        let record = scripted.record();
        let shared = scripted.component();
        let reader = Scripted::new("reader").registration().depends_on(["cache"]);
        let builder = Dispatcher::builder("pets")
            .component(Registration::new("store", shared.clone()))
            .component(Registration::new("cache", shared))
            .component(reader);
        let dispatcher = driven(built(builder));
        let report = dispatcher.start().await.unwrap();
        assert_eq!(report.running, 2);
        dispatcher.stop().await.unwrap();
        assert_eq!(
            (record.calls(Hook::Start), record.calls(Hook::Stop)),
            (1, 1)
        );
    });
}

#[test]
fn who_was_not_given_the_orchestrator_can_neither_start_nor_stop_it() {
    simulate(async {
        let db = Scripted::new("db").registration();
        let (dispatcher, registrations) = built(Dispatcher::builder("pets").component(db));
        let unconnected = dispatcher.clone();
        let dispatcher = driven((dispatcher, registrations));
        dispatcher.start().await.unwrap();
        assert_eq!(unconnected.status(), OrchestratorState::Running);
        let refused = unconnected.stop().await.unwrap_err();
        assert_eq!(refused, LifecycleError::Unconnected);
        assert_eq!(unconnected.start().await.unwrap_err(), refused);
        dispatcher.stop().await.unwrap();
    });
}
