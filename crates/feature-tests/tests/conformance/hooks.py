"""What is left out of the requests, and why."""

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    # Stopped or started anew, the diagnostics could not answer: somebody else is asked for.
    name = (case.path_parameters or {}).get("name")
    if case.method == "POST" and isinstance(name, str) and name.strip().lower() == "diagnostics":
        case.path_parameters["name"] = "nobody"
