package lint

import (
	"maps"
	"reflect"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// enums are the types of which the API allows only these values.
var enums = map[reflect.Type][]string{
	reflect.TypeFor[corev1.RestartPolicy]():                 {"Always", "OnFailure", "Never"},
	reflect.TypeFor[corev1.PullPolicy]():                    {"Always", "IfNotPresent", "Never"},
	reflect.TypeFor[corev1.Protocol]():                      {"TCP", "UDP", "SCTP"},
	reflect.TypeFor[corev1.ServiceType]():                   {"ClusterIP", "NodePort", "LoadBalancer", "ExternalName"},
	reflect.TypeFor[corev1.ServiceAffinity]():               {"ClientIP", "None"},
	reflect.TypeFor[corev1.DNSPolicy]():                     {"ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"},
	reflect.TypeFor[corev1.URIScheme]():                     {"HTTP", "HTTPS"},
	reflect.TypeFor[corev1.TaintEffect]():                   {"NoSchedule", "PreferNoSchedule", "NoExecute"},
	reflect.TypeFor[corev1.TolerationOperator]():            {"Exists", "Equal", "Lt", "Gt"},
	reflect.TypeFor[corev1.NodeSelectorOperator]():          {"In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"},
	reflect.TypeFor[metav1.LabelSelectorOperator]():         {"In", "NotIn", "Exists", "DoesNotExist"},
	reflect.TypeFor[corev1.PersistentVolumeAccessMode]():    {"ReadWriteOnce", "ReadOnlyMany", "ReadWriteMany", "ReadWriteOncePod"},
	reflect.TypeFor[corev1.PersistentVolumeReclaimPolicy](): {"Retain", "Delete", "Recycle"},
	reflect.TypeFor[corev1.PersistentVolumeMode]():          {"Filesystem", "Block"},
	reflect.TypeFor[corev1.SeccompProfileType]():            {"RuntimeDefault", "Unconfined", "Localhost"},
	reflect.TypeFor[corev1.StorageMedium]():                 {"Memory", "HugePages", "HugePages-2Mi", "HugePages-1Gi"},
	reflect.TypeFor[corev1.UnsatisfiableConstraintAction](): {"DoNotSchedule", "ScheduleAnyway"},
	reflect.TypeFor[corev1.TerminationMessagePolicy]():      {"File", "FallbackToLogsOnError"},
	reflect.TypeFor[appsv1.DeploymentStrategyType]():        {"Recreate", "RollingUpdate"},
	reflect.TypeFor[appsv1.StatefulSetUpdateStrategyType](): {"RollingUpdate", "OnDelete"},
	reflect.TypeFor[appsv1.DaemonSetUpdateStrategyType]():   {"RollingUpdate", "OnDelete"},
	reflect.TypeFor[appsv1.PodManagementPolicyType]():       {"OrderedReady", "Parallel"},
	reflect.TypeFor[batchv1.ConcurrencyPolicy]():            {"Allow", "Forbid", "Replace"},
	reflect.TypeFor[batchv1.CompletionMode]():               {"NonIndexed", "Indexed"},
	reflect.TypeFor[networkingv1.PathType]():                {"Exact", "Prefix", "ImplementationSpecific"},
	reflect.TypeFor[networkingv1.PolicyType]():              {"Ingress", "Egress"},
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
