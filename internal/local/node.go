//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"sigs.k8s.io/yaml"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/devices/gpu"
	"github.com/kiwerk/kiwerk/internal/cluster/simulate"
	"github.com/kiwerk/kiwerk/internal/text"
)

const (
	// atOnce is how many nodes are made or removed at the same time.
	atOnce      = 16
	maxManifest = 1 << 20
	usualGPU    = "h100"
)

// ownClient talks to the API server of the data directory without limits of its own.
func ownClient(s cli.Session) (kubernetes.Interface, error) {
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(s.DataDir, kubeconfigFile))
	if err != nil {
		return nil, notRunning(s)
	}
	cfg.QPS = -1
	return kubernetes.NewForConfig(cfg)
}

func listNodes(ctx context.Context, s cli.Session) (*cli.Nodes, error) {
	c, err := ownClient(s)
	if err != nil {
		return nil, err
	}
	nodes, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	pods, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName!=,status.phase!=Succeeded,status.phase!=Failed"})
	if err != nil {
		return nil, err
	}
	on := map[string]int{}
	for _, p := range pods.Items {
		on[p.Spec.NodeName]++
	}
	out := &cli.Nodes{Items: []cli.NodeStatus{}}
	for _, n := range nodes.Items {
		out.Items = append(out.Items, nodeStatus(n, on[n.Name]))
	}
	return out, nil
}

func nodeStatus(n corev1.Node, pods int) cli.NodeStatus {
	st := cli.NodeStatus{
		Name: n.Name, Simulated: n.Labels[simulate.Label] == "true", CPU: n.Status.Allocatable.Cpu().String(),
		Memory: n.Status.Allocatable.Memory().String(), GPUs: map[string]string{}, Pods: pods,
	}
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			st.Ready = c.Status == corev1.ConditionTrue
		}
	}
	for name, q := range n.Status.Allocatable {
		if short, ok := strings.CutPrefix(string(name), gpu.LabelPrefix); ok {
			st.GPUs[short] = q.String()
		}
	}
	return st
}

func simulateNodes(ctx context.Context, s cli.Session, o cli.SimulateOptions) (*cli.NodesDone, error) {
	invalid := func(err error) error {
		return &cli.Failure{Code: cli.ExitUsage, What: text.S(text.NodeInvalid), Cause: err, Try: try("kiwerk node simulate --help")}
	}
	spec, err := nodeSpec(o, s.In)
	if err != nil {
		return nil, invalid(err)
	}
	if _, err := simulate.Nodes(spec, 0, time.Time{}); err != nil {
		return nil, invalid(err)
	}
	c, err := ownClient(s)
	if err != nil {
		return nil, err
	}
	have, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: simulate.Label + "=true"})
	if err != nil {
		return nil, err
	}
	nodes, err := simulate.Nodes(spec, firstFree(have.Items), time.Now())
	if err != nil {
		return nil, invalid(err)
	}
	return forEach(nodes, func(n *corev1.Node) (string, error) {
		_, err := c.CoreV1().Nodes().Create(ctx, n, metav1.CreateOptions{})
		return n.Name, err
	})
}

// firstFree is one more than the highest number that a simulated node has.
func firstFree(nodes []corev1.Node) int {
	first := 0
	for _, n := range nodes {
		i := strings.LastIndexByte(n.Name, '-')
		if number, err := strconv.Atoi(n.Name[i+1:]); err == nil {
			first = max(first, number+1)
		}
	}
	return first
}

// nodeSpec reads what a person asked for.
func nodeSpec(o cli.SimulateOptions, in io.Reader) (simulate.Spec, error) {
	spec := simulate.Spec{Count: o.Count, Prefix: o.Name, GPUs: o.GPUs, CPU: o.CPU, Memory: o.Memory, Pods: o.Pods, Open: o.Open}
	if _, err := strconv.Atoi(o.GPUs); err == nil {
		spec.GPUs = usualGPU + ":" + o.GPUs
	}
	if o.File != "" {
		if err := readNode(o.File, in, &spec.Base); err != nil {
			return spec, err
		}
	}
	if spec.Base.Labels == nil {
		spec.Base.Labels = map[string]string{}
	}
	for _, l := range o.Labels {
		k, v, ok := strings.Cut(l, "=")
		if !ok {
			return spec, fmt.Errorf("--label %q is not KEY=VALUE", l)
		}
		spec.Base.Labels[k] = v
	}
	for _, t := range o.Taints {
		taint, err := parseTaint(t)
		if err != nil {
			return spec, err
		}
		spec.Base.Spec.Taints = append(spec.Base.Spec.Taints, taint)
	}
	return spec, nil
}

// parseTaint reads KEY[=VALUE]:EFFECT.
func parseTaint(s string) (corev1.Taint, error) {
	head, effect, ok := strings.Cut(s, ":")
	key, value, _ := strings.Cut(head, "=")
	effects := []corev1.TaintEffect{corev1.TaintEffectNoSchedule, corev1.TaintEffectPreferNoSchedule, corev1.TaintEffectNoExecute}
	if !ok || key == "" || !slices.Contains(effects, corev1.TaintEffect(effect)) {
		return corev1.Taint{}, fmt.Errorf("--taint %q is not KEY[=VALUE]:EFFECT with NoSchedule, PreferNoSchedule or NoExecute", s)
	}
	return corev1.Taint{Key: key, Value: value, Effect: corev1.TaintEffect(effect)}, nil
}

// readNode reads a manifest.
func readNode(file string, in io.Reader, node *corev1.Node) error {
	if file != "-" {
		f, err := os.Open(file)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	data, err := io.ReadAll(io.LimitReader(in, maxManifest))
	if err != nil {
		return err
	}
	if err := yaml.UnmarshalStrict(data, node); err != nil {
		return fmt.Errorf("manifest %s: %w", file, err)
	}
	if node.Kind != "Node" || node.APIVersion != "v1" {
		return fmt.Errorf("manifest %s: %q of %q is not a Node of v1", file, node.Kind, node.APIVersion)
	}
	return nil
}

func removeNodes(ctx context.Context, s cli.Session, names []string, simulated bool) (*cli.NodesDone, error) {
	c, err := ownClient(s)
	if err != nil {
		return nil, err
	}
	if simulated {
		list, err := c.CoreV1().Nodes().List(ctx, metav1.ListOptions{LabelSelector: simulate.Label + "=true"})
		if err != nil {
			return nil, err
		}
		for _, n := range list.Items {
			names = append(names, n.Name)
		}
	} else if err := allSimulated(ctx, c, names); err != nil {
		return nil, err
	}
	if _, err := dropNodes(ctx, c, names); err != nil {
		return nil, err
	}
	return &cli.NodesDone{Nodes: names}, nil
}

// dropNodes removes nodes with their pods, which nobody else would end for a minute.
func dropNodes(ctx context.Context, c kubernetes.Interface, names []string) (pods int, err error) {
	list, err := c.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName!="})
	if err != nil {
		return 0, err
	}
	gone := slices.DeleteFunc(list.Items, func(p corev1.Pod) bool { return !slices.Contains(names, p.Spec.NodeName) })
	_, err = forEach(names, func(name string) (string, error) {
		return name, ignoreNotFound(c.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}))
	})
	if err != nil {
		return 0, err
	}
	_, err = forEach(gone, func(p corev1.Pod) (string, error) {
		return p.Name, ignoreNotFound(c.CoreV1().Pods(p.Namespace).Delete(ctx, p.Name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}))
	})
	return len(gone), err
}

// allSimulated refuses names of real nodes before any is removed.
func allSimulated(ctx context.Context, c kubernetes.Interface, names []string) error {
	for _, name := range names {
		n, err := c.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		if apierrors.IsNotFound(err) {
			return &cli.Failure{Code: cli.ExitNotFound, What: text.S(text.NodeNotFound, name), Try: try("kiwerk node list")}
		}
		if err != nil {
			return err
		}
		if n.Labels[simulate.Label] != "true" {
			return &cli.Failure{What: text.S(text.NodeNotSimulated, name), Try: try("kiwerk node list")}
		}
	}
	return nil
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// forEach does something with many at once and returns their names in order.
func forEach[T any](list []T, do func(T) (string, error)) (*cli.NodesDone, error) {
	names, errs := make([]string, len(list)), make([]error, len(list))
	var tasks sync.WaitGroup
	slots := make(chan struct{}, atOnce)
	for i, x := range list {
		slots <- struct{}{}
		tasks.Go(func() {
			names[i], errs[i] = do(x)
			<-slots
		})
	}
	tasks.Wait()
	return &cli.NodesDone{Nodes: names}, errors.Join(errs...)
}
