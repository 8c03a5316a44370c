# shellcheck shell=bash
# What manifests are rendered with and held to: kustomize, kubeconform, and the schemas of Kubernetes itself and of the
# operators that deploy/kubernetes names, each from its own registry.

KUBERNETES_VERSION=1.34.1
KEDA_VERSION=2.18.0
PROMETHEUS_OPERATOR_VERSION=0.85.0
KUSTOMIZE_VERSION=5.7.1
KUBECONFORM_VERSION=0.7.0

KUBERNETES_FILES=$REPO/dev/kubernetes
KUBERNETES_TOOLS=kustomize-$KUSTOMIZE_VERSION-kubeconform-$KUBECONFORM_VERSION
OVERLAYS=$REPO/deploy/kubernetes/overlays

need_kubernetes_packages() {
  need_go_packages
  need_tool java default-jre-headless
  need_tool mvn maven
  need_tool jq jq
  need_python_packages
}

# The name changes with whatever the schemas are made of.
kubernetes_schemas_name() {
  local sum
  sum=$(cat -- "$KUBERNETES_FILES/schemas.py" "$KUBERNETES_FILES/strimzi.xml" "$REPO/dev/lib/kubernetes.sh" | sha256sum)
  printf 'kubernetes-schemas-%s' "${sum:0:12}"
}

# Sets kubernetes_bin, kubernetes_schemas and kubernetes_python.
kubernetes_prepare() {
  local schemas
  schemas=$(kubernetes_schemas_name)
  kubernetes_python=$(python_venv kubernetes "$KUBERNETES_FILES/requirements.txt")/bin/python
  cached "go-$GO_RELEASE" go_fetch_into
  cached "$KUBERNETES_TOOLS" kubernetes_tools_into
  cached "$schemas" kubernetes_schemas_into
  kubernetes_bin=$CACHE/$KUBERNETES_TOOLS
  # shellcheck disable=SC2034  # read by the scripts that source this file
  kubernetes_schemas=$CACHE/$schemas
}

kubernetes_tools_into() {
  local log=$LOGS/kubernetes-tools.log
  say "building kustomize $KUSTOMIZE_VERSION and kubeconform $KUBECONFORM_VERSION (log: $log)"
  {
    GOBIN=$1 with_go go install "sigs.k8s.io/kustomize/kustomize/v5@v$KUSTOMIZE_VERSION" &&
      GOBIN=$1 with_go go install "github.com/yannh/kubeconform/cmd/kubeconform@v$KUBECONFORM_VERSION"
  } >"$log" 2>&1 8>&- || fail_with_log "$log" "could not build kustomize and kubeconform"
}

# Folders `crds`, as the operators bring them, and `schemas`, as kubeconform reads them.
kubernetes_schemas_into() {
  local kubernetes keda prometheus_operator log=$LOGS/kubernetes-schemas.log
  say "fetching the schemas of Kubernetes $KUBERNETES_VERSION and of the operators (log: $log)"
  kubernetes=$(go_module "k8s.io/kubernetes@v$KUBERNETES_VERSION")
  keda=$(go_module "github.com/kedacore/keda/v2@v$KEDA_VERSION")
  prometheus_operator=$(go_module "github.com/prometheus-operator/prometheus-operator@v$PROMETHEUS_OPERATOR_VERSION")
  mkdir -- "$1/crds" "$1/strimzi"
  cp -- "$keda"/config/crd/bases/keda.sh_*.yaml "$1/crds/"
  cp -- "$prometheus_operator"/example/prometheus-operator-crd/monitoring.coreos.com_{podmonitors,prometheusrules,servicemonitors}.yaml \
    "$1/crds/"
  chmod u+w -- "$1"/crds/*
  {
    strimzi_crd_into "$1/strimzi" &&
      "$kubernetes_python" -B "$KUBERNETES_FILES/schemas.py" \
        "$kubernetes/api/openapi-spec/swagger.json" "$1/strimzi/crd" "$1/crds" "$1/schemas"
  } >"$log" 2>&1 8>&- || fail_with_log "$log" "could not make the schemas"
  rm -rf -- "$1/strimzi"
}

# Strimzi publishes no CRD to a registry, but the classes that its operator reads topics with; fabric8's generator,
# whose annotations these carry, makes a CRD of them.
strimzi_crd_into() {
  mkdir -- "$1/crd"
  mvn --batch-mode --quiet --file "$KUBERNETES_FILES/strimzi.xml" dependency:copy-dependencies \
    -DoutputDirectory="$1/lib" -DincludeScope=runtime &&
    java -cp "$1/lib/*" io.fabric8.crd.generator.cli.CRDGeneratorCLI \
      -cp "$(printf '%s\n' "$1"/lib/api-*.jar)" -o "$1/crd" io.strimzi.api.kafka.model.topic.KafkaTopic
}

# render FOLDER: each overlay's manifests as FOLDER/<overlay>.yaml.
render() {
  local overlay
  rm -rf -- "$1"
  mkdir -p -- "$1"
  for overlay in "$OVERLAYS"/*/; do
    overlay=$(basename "$overlay")
    "$kubernetes_bin/kustomize" build "$OVERLAYS/$overlay" >"$1/$overlay.yaml" || fail "overlay $overlay does not build"
  done
}
