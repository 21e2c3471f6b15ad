//go:build linux

package local

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/kiwerk/kiwerk/internal/cli"
	"github.com/kiwerk/kiwerk/internal/cluster/cgroup"
	"github.com/kiwerk/kiwerk/internal/cluster/holder"
	"github.com/kiwerk/kiwerk/internal/text"
)

// goodFree is below what a working day with models needs.
const goodFree = 5 << 30

// doctor looks at everything that decides whether and how well up works.
func doctor(ctx context.Context, s cli.Session, getenv func(string) string) (*cli.Diagnosis, error) {
	d := &cli.Diagnosis{}
	for _, check := range []func(context.Context, cli.Session, func(string) string) cli.Finding{
		checkHelper, checkUserNS, checkIDs, checkCgroups, checkNetwork, checkDisk, checkPython, checkONNX, checkRuntimeDir, checkOpenFiles,
	} {
		d.Findings = append(d.Findings, check(ctx, s, getenv))
	}
	d.Findings = append(d.Findings, exposures(ctx)...)
	return d, nil
}

func finding(name, level string, what text.Sentence, advice ...text.Sentence) cli.Finding {
	f := cli.Finding{Name: name, Level: level, Message: what}
	if len(advice) > 0 {
		f.TryMessage = advice[0]
	}
	return f
}

func checkHelper(_ context.Context, _ cli.Session, getenv func(string) string) cli.Finding {
	p, err := findPrograms(getenv, "")
	if err != nil {
		return finding("programs", cli.LevelProblem, text.S(text.Verbatim, err.Error()), try("make build"))
	}
	return finding("programs", cli.LevelOK, text.S(text.Verbatim, p.agent))
}

func checkUserNS(ctx context.Context, _ cli.Session, _ func(string) string) cli.Finding {
	if os.Geteuid() == 0 {
		return finding("namespaces", cli.LevelOK, text.S(text.DoctorRootNS))
	}
	if err := tryUserNamespace(ctx); err != nil {
		return finding("namespaces", cli.LevelProblem, text.S(text.UserNSForbidden), text.S(text.UserNSTry, userNamespaceRemedy(readSetting)))
	}
	return finding("namespaces", cli.LevelOK, text.S(text.DoctorUserNS))
}

func checkIDs(context.Context, cli.Session, func(string) string) cli.Finding {
	if err := holder.SubordinateIDs(); err != nil {
		return finding("ids", cli.LevelNote, text.S(text.DoctorNoIDs, err.Error()), text.S(text.DoctorIDsTry))
	}
	return finding("ids", cli.LevelOK, text.S(text.DoctorIDs))
}

func checkCgroups(context.Context, cli.Session, func(string) string) cli.Finding {
	tree, err := cgroup.Open(fmt.Sprintf("kiwerk-doctor-%d", os.Getpid()))
	var none *cgroup.Unavailable
	switch {
	case err == nil:
		if err = tree.Remove(); err == nil {
			return finding("cgroups", cli.LevelOK, text.S(text.DoctorCgroups, tree.Bounds()))
		}
		return finding("cgroups", cli.LevelNote, text.S(text.Verbatim, err.Error()))
	case errors.As(err, &none):
		return finding("cgroups", cli.LevelNote, text.S(text.DoctorNoCgroups), text.S(cgroupAdvice[none.Kind]))
	default:
		return finding("cgroups", cli.LevelNote, text.S(text.Verbatim, err.Error()))
	}
}

var cgroupAdvice = map[cgroup.Lack]text.Key{
	cgroup.LackMount: text.DoctorCgroupsMount, cgroup.LackRoot: text.DoctorCgroupsRoot, cgroup.LackDelegation: text.DoctorCgroupsUser,
}

func checkDisk(_ context.Context, s cli.Session, _ func(string) string) cli.Finding {
	dir := s.DataDir
	for { // the directory may not exist yet
		if _, err := os.Stat(dir); err == nil || dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	st, err := statfs(dir)
	if err != nil {
		return finding("disk", cli.LevelProblem, text.S(text.DataDirUnusable, s.DataDir))
	}
	if name, bad := networkFS[int64(st.Type)&0xffffffff]; bad { //nolint:unconvert // Type has another type on other architectures.
		return finding("disk", cli.LevelProblem, text.S(text.DataDirNetwork, s.DataDir, name), try("kiwerk up --data-dir DIR"))
	}
	free := int64(st.Bavail) * st.Bsize //nolint:unconvert // Bsize has another type on other architectures.
	level := cli.LevelOK
	switch {
	case free < minFree:
		level = cli.LevelProblem
	case free < goodFree:
		level = cli.LevelNote
	}
	return finding("disk", level, text.S(text.DoctorDisk, float64(free)/(1<<30), s.DataDir))
}

func checkPython(ctx context.Context, s cli.Session, getenv func(string) string) cli.Finding {
	c, err := loadConfig(cli.UpOptions{Config: getenv("KIWERK_CONFIG")}, filepath.Join(s.DataDir, configFile))
	if err != nil {
		return finding("python", cli.LevelProblem, text.S(text.Verbatim, err.Error()))
	}
	p, err := findPrograms(getenv, c.Runtime.Python)
	if err != nil {
		return finding("python", cli.LevelProblem, text.S(text.Verbatim, err.Error()), text.S(text.PythonTry))
	}
	if p.python == "" {
		return finding("python", cli.LevelNote, text.S(text.DoctorNoPython), text.S(text.PythonTry))
	}
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	out, err := exec.CommandContext(ctx, p.python, "--version").CombinedOutput()
	if err != nil {
		return finding("python", cli.LevelProblem, text.S(text.DoctorPythonBroken, p.python, err.Error()), text.S(text.PythonTry))
	}
	return finding("python", cli.LevelOK, text.S(text.Verbatim, strings.TrimSpace(string(out))+" ("+p.python+")"))
}

// checkONNX looks for the model server and the library that it loads.
func checkONNX(_ context.Context, _ cli.Session, getenv func(string) string) cli.Finding {
	p, err := findPrograms(getenv, "")
	if err != nil {
		return finding("onnxruntime", cli.LevelProblem, text.S(text.Verbatim, err.Error()))
	}
	server := filepath.Join(p.binDir, "kiwerk-modelserver")
	if _, err := os.Stat(server); err != nil {
		return finding("onnxruntime", cli.LevelNote, text.S(text.DoctorNoModelServer, server), try("make build"))
	}
	found, err := filepath.Glob(filepath.Join(p.binDir, "lib", "libonnxruntime.so*"))
	if err != nil || len(found) == 0 {
		return finding("onnxruntime", cli.LevelNote, text.S(text.DoctorNoONNX, filepath.Join(p.binDir, "lib")), try("make setup"))
	}
	return finding("onnxruntime", cli.LevelOK, text.S(text.Verbatim, found[0]))
}

func checkRuntimeDir(_ context.Context, s cli.Session, getenv func(string) string) cli.Finding {
	if _, err := os.Stat(s.DataDir); err != nil {
		return finding("sockets", cli.LevelOK, text.S(text.DoctorNoData, s.DataDir))
	}
	dir, err := runtimeDir(s.DataDir, getenv)
	if err == nil {
		err = makeRuntimeDir(dir)
	}
	if err != nil {
		return finding("sockets", cli.LevelProblem, text.S(text.Verbatim, err.Error()))
	}
	return finding("sockets", cli.LevelOK, text.S(text.Verbatim, dir))
}

// exposures say what a laptop cannot enforce.
func exposures(ctx context.Context) []cli.Finding {
	var list []cli.Finding
	if tryNetwork(ctx) != nil {
		list = append(list,
			finding("policies", cli.LevelNote, text.S(text.NoteNetworkPolicy)),
			finding("tokens", cli.LevelNote, text.S(text.NoteLoopbackPods)))
	}
	if os.Geteuid() == 0 {
		list = append(list, finding("root", cli.LevelNote, text.S(text.NoteRoot)))
		if readable := exposedSecrets(); len(readable) > 0 {
			list = append(list, finding("root", cli.LevelNote, text.S(text.DoctorSecrets, strings.Join(readable, ", "))))
		}
	} else {
		list = append(list, finding("user", cli.LevelNote, text.S(text.DoctorUserFiles, fmt.Sprint(os.Getuid()))))
	}
	return list
}

// exposedSecrets are files that every container started as root can read.
func exposedSecrets() []string {
	var found []string
	for _, f := range []string{"/etc/shadow", "/root/.ssh", "/root/.kube/config", "/etc/kubernetes/admin.conf", "/var/run/docker.sock"} {
		if _, err := os.Stat(f); err == nil {
			found = append(found, f)
		}
	}
	return found
}
