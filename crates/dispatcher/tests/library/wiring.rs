//! What a dispatcher registers: names, edges, criticality, policies.

use dispatcher::{
    BuildError, Code, Dispatcher, DispatcherBuilder, Fault, Gate, HttpInbound, HttpOutbound,
    Inbound, Outbound, Procedure, Response, Shape,
};
use lifecycle_core::{
    Component, Criticality, Defaults, Dependency, Plan, Registration, Retry, component,
};

use crate::kit::{built, echo};

fn idle() -> Component {
    component::from_fn(async |_| Ok(()), async |_| Ok(()))
}

fn outbound(service: &str, shapes: &[Shape]) -> Outbound {
    let carrier = dispatcher::handler_fn(async |_| Ok(Response::empty()));
    Outbound::new(service, shapes.iter().copied(), idle(), carrier)
}

fn inbound() -> Inbound {
    Inbound::http(|_| idle())
}

fn pets() -> DispatcherBuilder {
    Dispatcher::builder("pets")
}

fn faults(builder: DispatcherBuilder) -> Vec<Fault> {
    let error: BuildError = builder.build().expect_err("at fault");
    error.faults
}

#[track_caller]
fn names(registrations: &[Registration]) -> String {
    let names: Vec<_> = registrations.iter().map(|it| &*it.name).collect();
    names.join(" ")
}

#[track_caller]
fn find<'a>(registrations: &'a [Registration], name: &str) -> &'a Registration {
    let found = registrations.iter().find(|it| it.name == name);
    found.unwrap_or_else(|| panic!("no {name} in {}", names(registrations)))
}

#[test]
fn contract_09_an_outbound_is_a_component_named_service_key_and_shape() {
    let both = outbound(" billing ", &[Shape::Unary, Shape::Oneway]);
    let keyed = outbound("billing", &[Shape::Unary]).key(" eu ");
    let (_, all) = built(pets().outbound(both).outbound(keyed));
    assert_eq!(names(&all), "billing:default:unary billing:eu:unary");
    let first = find(&all, "billing:default:unary");
    assert_eq!(first.aliases, ["billing:default:oneway"]);
    assert_eq!(first.criticality, Criticality::Degradable);
    assert_eq!(first.dependencies, []);
}

#[test]
fn contract_10_a_key_occurs_once_for_a_service_and_a_shape() {
    let first = outbound("billing", &[Shape::Unary]).key("eu");
    let same = outbound("Billing", &[Shape::Oneway, Shape::Unary]).key(" EU ");
    let builder = pets().outbound(first).outbound(same);
    let name = "Billing:EU:unary".to_owned();
    assert_eq!(faults(builder), [Fault::DuplicateOutbound { name }]);
    let blank = outbound("billing", &[Shape::Unary]).key(" ");
    let builder = pets()
        .outbound(outbound("billing", &[Shape::Unary]))
        .outbound(blank);
    let name = "billing:default:unary".to_owned();
    assert_eq!(faults(builder), [Fault::DuplicateOutbound { name }]);
}

#[test]
fn every_fault_is_told_at_once_and_has_a_code() {
    let builder = Dispatcher::builder(" ")
        .procedure(echo(""))
        .procedure(echo("a").alias(" "))
        .procedure(echo("b").alias("B"))
        .outbound(outbound(" ", &[Shape::Unary]))
        .outbound(outbound("plants", &[]));
    let faults = faults(builder);
    let codes: Vec<_> = faults.iter().map(Fault::code).collect();
    assert_eq!(faults.len(), 6, "{faults:?}");
    let twice = codes.iter().filter(|it| **it == Code::FailedPrecondition);
    assert_eq!(twice.count(), 1);
    let text = BuildError { faults }.to_string();
    assert_eq!(text.lines().count(), 7, "{text}");
}

#[test]
fn inbounds_have_the_name_of_their_kind_and_place_or_their_own() {
    let builder = pets()
        .inbound(inbound())
        .inbound(Inbound::grpc(|_| idle()))
        .inbound(inbound().named("public"))
        .inbound(inbound());
    let (_, all) = built(builder);
    assert_eq!(
        names(&all),
        "http-inbound:0 grpc-inbound:0 public http-inbound:1"
    );
    assert!(
        all.iter()
            .all(|it| it.criticality == Criticality::Essential)
    );
}

#[test]
fn contract_52_inbounds_take_part_in_a_drain_under_their_names_and_nothing_else_does() {
    let http = || HttpInbound::new("127.0.0.1:0".parse().unwrap());
    let upstream = HttpOutbound::new("billing", "http://127.0.0.1:9/").unwrap();
    let builder = pets()
        .inbound(http())
        .inbound(Inbound::from(http()).named("public"))
        .component(Registration::new("cache", idle()))
        .outbound(upstream);
    let compiled = Plan::compile(built(builder).1, Defaults::default()).unwrap();
    let plan = compiled.plan;
    let drains = plan.ids().filter(|id| plan.drains(*id));
    let names: Vec<_> = drains.map(|id| plan.name(id).as_str()).collect();
    assert_eq!(names, ["http-inbound:0", "public"]);
}

#[test]
fn contract_b24_inbounds_open_after_what_they_serve_by_whatever_became_of_it_unless_told_otherwise()
{
    let with = |gate| {
        let builder = pets()
            .inbound(inbound())
            .outbound(outbound("billing", &[Shape::Unary, Shape::Oneway]))
            .inbounds_after(["mesh-gossip"])
            .gate(gate);
        built(builder).1
    };
    let last = with(Gate::default());
    assert_eq!(
        find(&last, "http-inbound:0").dependencies,
        [
            Dependency::order("mesh-gossip"),
            Dependency::order("billing:default:unary")
        ]
    );
    let open = with(Gate::Open);
    assert_eq!(find(&open, "http-inbound:0").dependencies, []);
}

#[test]
fn contract_b16_policies_come_from_the_part_or_else_from_the_dispatcher_and_none_is_one() {
    let builder = pets()
        .start_retry(Retry::attempts(5))
        .stop_retry(Retry::attempts(4))
        .inbound(inbound().start_retry(Retry::none()))
        .outbound(outbound("billing", &[Shape::Unary]).stop_retry(Retry::attempts(2)))
        .component(Registration::new("own", idle()).start_retry(Retry::attempts(3)));
    let (_, all) = built(builder);
    let attempts = |name: &str| {
        let found = find(&all, name);
        (found.start.max_attempts, found.stop.max_attempts)
    };
    assert_eq!(attempts("http-inbound:0"), (Some(1), Some(4)));
    assert_eq!(attempts("billing:default:unary"), (Some(5), Some(2)));
    assert_eq!(attempts("own"), (Some(3), Some(4)));
}

#[test]
fn contract_08_one_instance_under_several_names_is_one_registration_under_the_first() {
    let shared = idle();
    let builder = pets()
        .component(Registration::new("store", shared.clone()).depends_on(["disk"]))
        .component(Registration::new("disk", idle()))
        .component(
            Registration::new("cache", shared)
                .alias("memory")
                .after(["clock"]),
        );
    let (_, all) = built(builder);
    assert_eq!(names(&all), "store disk");
    let store = find(&all, "store");
    assert_eq!(store.aliases, ["cache", "memory"]);
    assert_eq!(
        store.dependencies,
        [Dependency::hard("disk"), Dependency::order("clock")]
    );
}

#[test]
fn ways_out_are_found_by_service_key_and_shape() {
    let builder = pets().outbound(outbound("Billing", &[Shape::Unary]).key("EU"));
    let (dispatcher, _) = built(builder);
    assert!(
        dispatcher
            .outbound(" billing ", Some(" eu "), Shape::Unary)
            .is_ok()
    );
    for (service, key, shape, code) in [
        ("billing", Some("eu"), Shape::Oneway, Code::NotFound),
        ("billing", None, Shape::Unary, Code::NotFound),
        ("plants", None, Shape::Unary, Code::NotFound),
        (" ", None, Shape::Unary, Code::InvalidArgument),
    ] {
        let error = dispatcher
            .outbound(service, key, shape)
            .expect_err("no way");
        assert_eq!(error.code, code, "{service} {key:?} {shape}");
    }
}

#[test]
fn procedures_are_no_components() {
    let procedures =
        (0..100).map(|it| Procedure::unary(format!("p{it}"), async |_| Ok(Response::empty())));
    let (_, all) = built(procedures.fold(pets(), DispatcherBuilder::procedure));
    assert!(all.is_empty());
}

#[test]
fn an_outbound_can_leave_out_shapes_and_one_that_leaves_out_all_is_a_fault() {
    let all = [Shape::Unary, Shape::Oneway, Shape::ServerStream];
    let some = outbound("billing", &all).only([Shape::Duplex, Shape::ServerStream, Shape::Oneway]);
    let (dispatcher, registrations) = pets().outbound(some).build().expect("no fault");
    assert_eq!(names(&registrations), "billing:default:oneway");
    assert_eq!(registrations[0].aliases, ["billing:default:stream"]);
    for (shape, expected) in [(Shape::Oneway, true), (Shape::Unary, false)] {
        let found = dispatcher.outbound("billing", None, shape);
        assert_eq!(found.is_ok(), expected, "{shape}");
    }
    let none = outbound("billing", &all).only([Shape::Duplex]);
    let service = "billing".to_owned();
    assert_eq!(
        faults(pets().outbound(none)),
        [Fault::ShapelessOutbound { service }]
    );
}
