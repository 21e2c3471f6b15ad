//go:build linux

package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"

	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/kiwerk/kiwerk/internal/demo"
	"github.com/kiwerk/kiwerk/internal/kwtest/running"
)

// Bounds of the design.
const (
	boundReady  = 5.0
	boundMemory = 650.0 // with a network for each pod
	boundCPU    = 5.0
	boundJob    = 1.5
	boundJobs   = 8.0

	limit = 3 * time.Minute
)

type settings struct {
	bin, user, work string
	idle, settle    time.Duration
}

func main() {
	var s settings
	flag.StringVar(&s.bin, "bin", "bin", "folder of the built programs")
	flag.StringVar(&s.user, "user", running.Ordinary, "ordinary user for the second half, if started as root; empty leaves it out")
	flag.DurationVar(&s.idle, "idle", 30*time.Second, "window for the CPU at idle")
	flag.DurationVar(&s.settle, "settle", 15*time.Second, "pause before it")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, s, os.Stdout)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench/up:", err)
		os.Exit(1)
	}
}

// column is what was measured as one account.
type column struct {
	name                                           string
	fresh, again, memory, cpu, job, jobs, jobsPeak float64
	startCPU, jobsCPU                              float64
}

func run(ctx context.Context, s settings, w io.Writer) (err error) {
	if s.work, err = os.MkdirTemp("", "kiwerk-bench-"); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(s.work)) }()
	if err := os.Chmod(s.work, 0o755); err != nil {
		return err
	}
	var columns []column
	accounts := []string{""}
	if os.Geteuid() == 0 && s.user != "" {
		accounts = append(accounts, s.user)
	}
	for _, login := range accounts {
		c, err := measure(ctx, s, login)
		if err != nil {
			return err
		}
		columns = append(columns, c)
	}
	load, _ := os.ReadFile("/proc/loadavg") // only informative
	fmt.Fprintf(w, "kiwerk up on %d CPUs, load %s\n\n", cpus(), strings.TrimSpace(string(load)))
	table(w, columns)
	return nil
}

func table(w io.Writer, columns []column) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, unit string, bound float64, value func(column) float64) {
		fmt.Fprint(t, name)
		for _, c := range columns {
			fmt.Fprintf(t, "\t%.2f %s", value(c), unit)
		}
		if bound > 0 {
			fmt.Fprintf(t, "\t≤ %g %s", bound, unit)
		}
		fmt.Fprintln(t)
	}
	fmt.Fprint(t, "figure")
	for _, c := range columns {
		fmt.Fprintf(t, "\t%s", c.name)
	}
	fmt.Fprintln(t, "\tbound")
	row("ready, fresh data directory", "s", boundReady, func(c column) float64 { return c.fresh })
	row("ready, again on the same", "s", boundReady, func(c column) float64 { return c.again })
	row("CPU time until ready", "s", 0, func(c column) float64 { return c.startCPU })
	row("memory at idle (Pss)", "MB", boundMemory, func(c column) float64 { return c.memory })
	row("CPU at idle, of one core", "%", boundCPU, func(c column) float64 { return c.cpu })
	row("first Job, apply to complete", "s", boundJob, func(c column) float64 { return c.job })
	row("Job of 100 pods, 20 at a time", "s", boundJobs, func(c column) float64 { return c.jobs })
	row("CPU time of it, without pods", "s", 0, func(c column) float64 { return c.jobsCPU })
	row("memory after it", "MB", 0, func(c column) float64 { return c.jobsPeak })
	_ = t.Flush() // the terminal reports its own errors
}

func measure(ctx context.Context, s settings, login string) (c column, err error) {
	c.name = "as root"
	if os.Geteuid() != 0 || login != "" {
		c.name = "as a user"
	}
	p, err := prepare(s, login)
	if err != nil {
		return c, err
	}
	if c.fresh, err = p.up(ctx); err != nil {
		return c, err
	}
	c.startCPU = p.cpuSeconds()
	if c.job, err = p.job(ctx, "first", 1, 1); err != nil {
		return c, errors.Join(err, p.stop())
	}
	if err := running.Pause(ctx, s.settle); err != nil {
		return c, errors.Join(err, p.stop())
	}
	before, begun := p.cpuSeconds(), time.Now()
	if err := running.Pause(ctx, s.idle); err != nil {
		return c, errors.Join(err, p.stop())
	}
	c.cpu = 100 * (p.cpuSeconds() - before) / time.Since(begun).Seconds()
	if c.memory, err = p.megabytes(); err == nil {
		before = p.cpuSeconds()
		c.jobs, err = p.job(ctx, "hundred", 100, 20)
		c.jobsCPU = p.cpuSeconds() - before
	}
	if err == nil {
		c.jobsPeak, err = p.megabytes()
	}
	if err = errors.Join(err, p.stop()); err != nil {
		return c, err
	}
	if c.again, err = p.up(ctx); err != nil {
		return c, err
	}
	return c, p.stop()
}

// platform is one data directory and who starts it.
type platform struct {
	bin, dir string
	attr     *syscall.SysProcAttr
	cmd      *exec.Cmd
}

// prepare puts the programs where the account can read them.
func prepare(s settings, login string) (*platform, error) {
	base, err := os.MkdirTemp(s.work, "account-")
	if err != nil {
		return nil, err
	}
	p := &platform{bin: filepath.Join(base, "bin"), dir: filepath.Join(base, "home", "data"), attr: &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}}
	if err := errors.Join(os.Chmod(base, 0o755), os.Mkdir(p.bin, 0o755), os.Mkdir(filepath.Dir(p.dir), 0o755)); err != nil {
		return nil, err
	}
	for _, name := range []string{"kiwerk", "kiwerk-agent"} {
		b, err := os.ReadFile(filepath.Join(s.bin, name))
		if err != nil {
			return nil, fmt.Errorf("%w: run make build first", err)
		}
		if err := os.WriteFile(filepath.Join(p.bin, name), b, 0o755); err != nil {
			return nil, err
		}
	}
	if login == "" {
		return p, nil
	}
	u, err := user.Lookup(login)
	if err != nil {
		if out, addErr := exec.Command("useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", login).CombinedOutput(); addErr != nil {
			return nil, fmt.Errorf("make user %s: %w: %s", login, addErr, out)
		}
		if u, err = user.Lookup(login); err != nil {
			return nil, err
		}
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	p.attr.Credential = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	return p, os.Chown(filepath.Dir(p.dir), uid, gid)
}

// up starts the platform and returns the seconds until it said that it is ready.
func (p *platform) up(ctx context.Context) (float64, error) {
	p.cmd = exec.Command(filepath.Join(p.bin, "kiwerk"), "up", "--data-dir", p.dir, "--listen", "127.0.0.1:0", "--lang", "en")
	p.cmd.SysProcAttr, p.cmd.Dir = p.attr, "/"
	p.cmd.Env = []string{"PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin", "HOME=" + filepath.Dir(p.dir)}
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	if err := p.cmd.Start(); err != nil {
		return 0, err
	}
	ready := make(chan float64, 1)
	said := make(chan string, 1)
	go func() {
		var all strings.Builder
		for sc := bufio.NewScanner(stderr); sc.Scan(); {
			if strings.HasPrefix(sc.Text(), "Ready in") {
				ready <- time.Since(begun).Seconds()
			}
			all.WriteString(sc.Text() + "\n")
		}
		said <- all.String()
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case seconds := <-ready:
		return seconds, nil
	case text := <-said:
		return 0, fmt.Errorf("kiwerk up ended: %w\n%s", p.cmd.Wait(), text)
	case <-timer.C:
		return 0, errors.Join(fmt.Errorf("kiwerk up was not ready after %s", limit), p.stop())
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), p.stop())
	}
}

func (p *platform) stop() error {
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return err
	}
	return p.cmd.Wait()
}

var own = []string{"kiwerk", "kiwerk-agent"}

func (p *platform) megabytes() (float64, error) {
	b, err := demo.TreeMemory(p.cmd.Process.Pid, own)
	return float64(b) / 1e6, err
}

// job runs pods of `true` and returns the seconds from the request to Complete.
func (p *platform) job(ctx context.Context, name string, completions, parallelism int32) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	cfg, err := clientcmd.BuildConfigFromFlags("", filepath.Join(p.dir, "kubeconfig"))
	if err != nil {
		return 0, err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return 0, err
	}
	jobs := client.BatchV1().Jobs("default")
	watch, err := jobs.Watch(ctx, metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	if err != nil {
		return 0, err
	}
	defer watch.Stop()
	begun := time.Now()
	_, err = jobs.Create(ctx, &batchv1.Job{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: batchv1.JobSpec{
			Completions: &completions, Parallelism: &parallelism,
			Template: corev1.PodTemplateSpec{Spec: corev1.PodSpec{
				RestartPolicy: corev1.RestartPolicyNever,
				Containers:    []corev1.Container{{Name: "main", Image: "busybox", Command: []string{"true"}}},
			}},
		},
	}, metav1.CreateOptions{})
	if err != nil {
		return 0, err
	}
	for e := range watch.ResultChan() {
		j, ok := e.Object.(*batchv1.Job)
		if !ok {
			continue
		}
		for _, c := range j.Status.Conditions {
			if c.Status != corev1.ConditionTrue {
				continue
			}
			if c.Type == batchv1.JobComplete {
				return time.Since(begun).Seconds(), nil
			}
			if c.Type == batchv1.JobFailed {
				return 0, fmt.Errorf("job %s failed: %s", name, c.Message)
			}
		}
	}
	return 0, fmt.Errorf("job %s did not complete: %w", name, ctx.Err())
}
