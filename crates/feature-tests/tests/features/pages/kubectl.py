"""What of kubectl a page uses, without a cluster: secrets are kept below ROOT; what is applied is looked up as Kustomize does, is
validated, and must find each map and secret that it mounts.
"""

import os
import pathlib
import subprocess
import sys

import yaml

SECRETS = pathlib.Path(os.environ["ROOT"]) / "secrets"


def create(kind, shape, name, source):
    assert (kind, shape) == ("secret", "generic"), (kind, shape)
    flag, _, file = source.partition("=")
    assert flag == "--from-file", source
    file = pathlib.Path(file)
    folder = SECRETS / name
    folder.mkdir(parents=True)
    (folder / file.name).write_text(file.read_text())


def volumes(manifest):
    pod = manifest.get("spec", {}).get("template", {}).get("spec", {})
    return pod.get("volumes", [])


def apply(flag, folder):
    assert flag == "-k", flag
    folder = pathlib.Path(folder)
    kustomization = yaml.safe_load((folder / "kustomization.yaml").read_text())
    maps = {it["name"]: it["files"] for it in kustomization["configMapGenerator"]}
    mounted = 0
    for resource in kustomization["resources"]:
        validate = pathlib.Path(sys.executable).parent / "kubernetes-validate"
        subprocess.run([validate, "--strict", "--quiet", folder / resource], check=True)
        for manifest in yaml.safe_load_all((folder / resource).read_text()):
            for volume in volumes(manifest):
                mounted += 1
                if "configMap" in volume:
                    for file in maps[volume["configMap"]["name"]]:
                        assert (folder / file).is_file(), file
                elif "secret" in volume:
                    name = volume["secret"]["secretName"]
                    assert (SECRETS / name / "tokens").is_file(), f"there is no secret {name}"
                else:
                    sys.exit(f"nobody knows {volume}")
    assert mounted, "nothing is mounted"


verb, *rest = sys.argv[1:]
{"create": create, "apply": apply}[verb](*rest)
