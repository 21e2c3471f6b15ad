package kube

import (
	"path"

	corev1 "k8s.io/api/core/v1"
)

// Platform is how pods reach the platform. Nothing else in the program knows
// the address or the token.
type Platform struct {
	// BaseURL as pods see it, without a slash at the end.
	BaseURL string
	// AgentPath is where kiwerk-agent lies inside a container.
	AgentPath string
}

// Where the injected token lies in a container.
const (
	TokenDir      = "/var/run/secrets/kiwerk.dev"
	TokenFile     = TokenDir + "/token"
	TokenAudience = "kiwerk.dev"

	tokenVolume  = "kiwerk-token"
	tokenSeconds = 24 * 60 * 60
)

// Environment of injected pods.
const (
	EnvURL         = "KIWERK_URL"
	EnvTokenFile   = "KIWERK_TOKEN_FILE"
	EnvTrackingURI = "MLFLOW_TRACKING_URI"
	EnvNamespace   = "KIWERK_NAMESPACE"
)

// PortAnnotation carries the loopback port that the process runtime chose for
// a pod without a network of its own.
const PortAnnotation = "kiwerk.dev/port"

// PlatformURL is the address of the platform for a pod.
func (p Platform) PlatformURL(_ *corev1.PodSpec) string { return p.BaseURL }

// Inject gives all containers of a pod the address, a service-account token
// and the switches that keep client libraries from phoning home. What the
// pod's author has set stays.
func (p Platform) Inject(pod *corev1.PodSpec) {
	url := p.PlatformURL(pod)
	env := []corev1.EnvVar{
		{Name: EnvURL, Value: url},
		{Name: EnvTokenFile, Value: TokenFile},
		{Name: EnvNamespace, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}},
		{Name: EnvTrackingURI, Value: url},
		// MLflow's clients send it as a header, which names the project of a request.
		{Name: "MLFLOW_WORKSPACE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{APIVersion: "v1", FieldPath: "metadata.namespace"}}},
		{Name: "MLFLOW_DISABLE_TELEMETRY", Value: "true"},
		{Name: "DO_NOT_TRACK", Value: "true"},
	}
	for _, list := range [][]corev1.Container{pod.InitContainers, pod.Containers} {
		for i := range list {
			c := &list[i]
			for _, e := range env {
				if !hasEnv(c, e.Name) {
					c.Env = append(c.Env, e)
				}
			}
			c.VolumeMounts = append(c.VolumeMounts, corev1.VolumeMount{Name: tokenVolume, MountPath: TokenDir, ReadOnly: true})
		}
	}
	seconds := int64(tokenSeconds)
	pod.Volumes = append(pod.Volumes, corev1.Volume{Name: tokenVolume, VolumeSource: corev1.VolumeSource{
		Projected: &corev1.ProjectedVolumeSource{Sources: []corev1.VolumeProjection{{
			ServiceAccountToken: &corev1.ServiceAccountTokenProjection{
				Audience: TokenAudience, ExpirationSeconds: &seconds, Path: path.Base(TokenFile),
			},
		}}},
	}})
}

func hasEnv(c *corev1.Container, name string) bool {
	for _, e := range c.Env {
		if e.Name == name {
			return true
		}
	}
	return false
}
