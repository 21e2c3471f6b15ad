//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"

	"github.com/kiwerk/kiwerk/internal/demo"
	"github.com/kiwerk/kiwerk/internal/kwtest/imagetest"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

const (
	imageName = "localhost/kiwerk-bench:1"
	namespace = "default"
	// inImage is where the probe lies in it.
	inImage = "/probe"
)

var own = []string{"kiwerk", "kiwerk-agent"}

// node is a running platform with the probe's image in it.
type node struct {
	probe    string
	launcher int
	api      kubernetes.Interface
	conn     *grpc.ClientConn
	runtime  runtimeapi.RuntimeServiceClient

	// carrier is a pod that no scheduler takes: the sandboxes that we make at the runtime are its.
	carrier *corev1.Pod
	attempt uint32
}

func connect(ctx context.Context, p *running.Platform, probe string) (*node, error) {
	archive := probe + ".tar"
	if err := packProbe(probe, archive); err != nil {
		return nil, err
	}
	if err := p.Kiwerk(ctx, "image", "load", archive); err != nil {
		return nil, err
	}
	n := &node{probe: probe}
	answer, err := p.Command(ctx, p.Program(), "status", "-o", "json").Output()
	if err != nil {
		return nil, err
	}
	var status struct {
		Processes struct{ Launcher int }
	}
	if err := json.Unmarshal(answer, &status); err != nil {
		return nil, fmt.Errorf("kiwerk status: %w", err)
	}
	n.launcher = status.Processes.Launcher
	socket, err := n.socket()
	if err != nil {
		return nil, err
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", p.Kubeconfig())
	if err != nil {
		return nil, err
	}
	cfg.QPS = -1
	if n.api, err = kubernetes.NewForConfig(cfg); err != nil {
		return nil, err
	}
	n.conn, err = grpc.NewClient("unix://"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return nil, err
	}
	n.runtime = runtimeapi.NewRuntimeServiceClient(n.conn)
	spec := podOf(idle)
	spec.SchedulerName = "none"
	n.carrier, err = n.api.CoreV1().Pods(namespace).Create(ctx, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "carrier"}, Spec: spec}, metav1.CreateOptions{})
	return n, err
}

func (n *node) close() error { return n.conn.Close() }

// socket is the runtime's: the holder is started with the folder that has it.
func (n *node) socket() (string, error) {
	tree, err := demo.Tree(n.launcher, own)
	if err != nil {
		return "", err
	}
	for _, p := range tree {
		if len(p.Args) > 2 && p.Args[1] == "hold" {
			return filepath.Join(p.Args[2], "cri.sock"), nil
		}
	}
	return "", fmt.Errorf("the launcher %d has no holder", n.launcher)
}

// packProbe makes an image of the probe as `docker save` writes it.
func packProbe(probe, archive string) error {
	layer, err := imagetest.NewLayer(imagetest.Copy(probe, inImage, 0o755))
	if err != nil {
		return err
	}
	img, err := imagetest.New(runtime.GOARCH, v1.Config{Entrypoint: []string{inImage}}, layer)
	if err != nil {
		return err
	}
	if err := imagetest.Save(archive, map[string]v1.Image{imageName: img}); err != nil {
		return err
	}
	return os.Chmod(archive, 0o644)
}

// usage is what the platform's processes take, in MB.
type usage struct {
	containers float64 // shims and what they leave in containers
	others     float64
}

func (u usage) total() float64 { return u.containers + u.others }

func (n *node) usage() (usage, error) {
	tree, err := demo.Tree(n.launcher, own)
	if err != nil {
		return usage{}, err
	}
	return sum(tree), nil
}

func sum(tree []*demo.Process) (u usage) {
	for _, p := range tree {
		mb := float64(p.Pss) / 1e6
		if len(p.Args) > 1 && slices.Contains([]string{"shim", "init"}, p.Args[1]) {
			u.containers += mb
		} else {
			u.others += mb
		}
	}
	return u
}
