//! What configuration files may say, and what goes out as text (feature `serde`).

use lifecycle_core::engine::{ComponentState, Reason};
use lifecycle_core::{
    Backoff, ComponentName, Criticality, Defaults, Jitter, Nanos, Retry, RetryIf, Timeout,
};
use serde_json::json;

#[test]
fn contract_b16_every_policy_can_be_configured_and_what_is_left_out_is_unset() {
    let retry: Retry = serde_json::from_value(json!({
        "max-attempts": 3,
        "backoff": { "exponential": { "initial": "100ms", "factor": 1.5, "cap": "10s" } },
        "jitter": "full",
        "attempt-timeout": "2s",
        "total": "never",
        "retry-if": "transient",
    }))
    .expect("a legal policy");
    let expected = Retry {
        max_attempts: Some(3),
        backoff: Some(Backoff::Exponential {
            initial: Nanos::from_millis(100),
            factor: 1.5,
            cap: Nanos::from_secs(10),
        }),
        jitter: Some(Jitter::Full),
        attempt_timeout: Some(Timeout::After(Nanos::from_secs(2))),
        total: Some(Timeout::Never),
        retry_if: Some(RetryIf::Transient),
    };
    assert_eq!(retry, expected);
    assert_eq!(
        serde_json::from_value::<Retry>(json!({})).expect("all unset"),
        Retry::default()
    );
}

#[test]
fn defaults_survive_being_written_and_read() {
    let written = serde_json::to_value(Defaults::default()).expect("defaults are plain");
    assert_eq!(written["shutdown-timeout"], "45s");
    assert_eq!(
        serde_json::from_value::<Defaults>(written).expect("as written"),
        Defaults::default()
    );
}

#[test]
fn unknown_keys_and_durations_without_a_unit_are_refused() {
    let misspelt =
        serde_json::from_value::<Retry>(json!({ "max-atempts": 3 })).expect_err("a misspelt key");
    assert!(misspelt.to_string().contains("max-atempts"), "{misspelt}");
    let unitless = serde_json::from_value::<Defaults>(json!({ "shutdown-timeout": "45" }))
        .expect_err("no unit");
    assert!(unitless.to_string().contains("`250ms`"), "{unitless}");
}

#[test]
fn enums_go_out_as_lower_case_words() {
    assert_eq!(json!(ComponentState::BackingOff), "backing-off");
    assert_eq!(json!(Criticality::Degradable), "degradable");
    for state in ComponentState::ALL {
        assert_eq!(json!(state), state.as_str());
    }
    assert_eq!(
        json!(Reason::DependenciesReady),
        Reason::DependenciesReady.as_str()
    );
}

#[test]
fn a_name_is_checked_as_it_is_read() {
    let name: ComponentName = serde_json::from_value(json!(" db ")).expect("a legal name");
    assert_eq!(json!(name), "db");
    assert!(serde_json::from_value::<ComponentName>(json!("  ")).is_err());
}
