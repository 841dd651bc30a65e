"""Where the cluster is: KUBECONFIG, else ~/.kube/config, else what a pod is told of its own."""

from __future__ import annotations

import os

from flowrate.errors import ClusterError


class NoKubeconfigError(ClusterError):
    """Nothing on this machine says where a cluster is."""


def fill_in(configuration) -> None:
    """Fills in where the cluster is, and who is asking.

    Args:
        configuration: of Kubernetes' Python client.

    Raises:
        NoKubeconfigError: nothing says so.
    """
    import yaml
    from kubernetes import config

    try:
        config.load_kube_config(os.environ.get("KUBECONFIG"), client_configuration=configuration)
    except (config.ConfigException, yaml.YAMLError, OSError) as error:
        try:
            config.load_incluster_config(client_configuration=configuration)
        except config.ConfigException:
            reason = " ".join(str(error).split()).rstrip(".")
            raise NoKubeconfigError(
                f"no Kubernetes cluster is set up here ({reason}); make ~/.kube/config, or set "
                "KUBECONFIG to such a file."
            ) from None
