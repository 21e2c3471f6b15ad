package kubectl

import (
	"context"
	"fmt"
	"io"
	"path/filepath"
	"runtime"
	"strings"
	"sync"

	"k8s.io/cli-runtime/pkg/genericclioptions"
	"k8s.io/cli-runtime/pkg/genericiooptions"
	"k8s.io/kubectl/pkg/cmd"
	cmdutil "k8s.io/kubectl/pkg/cmd/util"

	_ "github.com/kiwerk/kiwerk/internal/cluster/kubectl/words" // before kubectl's own initialisers
)

const (
	discoveryBurst = 300
	discoveryQPS   = 50
)

// kubectl reports failure through a global hook, so only one call runs at a time.
var one sync.Mutex

// Run runs kubectl with args against the cluster of the kubeconfig file and
// returns its exit code. A --kubeconfig in args wins.
func Run(ctx context.Context, kubeconfig string, args []string, in io.Reader, out, errOut io.Writer) int {
	one.Lock()
	defer one.Unlock()
	code := 0
	done := make(chan struct{})
	go func() {
		defer close(done)
		// Kubectl calls the hook where it would exit and does not expect it to return.
		cmdutil.BehaviorOnFatal(func(message string, c int) {
			code = c
			say(errOut, message)
			runtime.Goexit()
		})
		defer cmdutil.DefaultBehaviorOnFatal()
		if err := command(kubeconfig, args, in, out, errOut).ExecuteContext(ctx); err != nil {
			code = 1
			say(errOut, err.Error())
		}
	}()
	<-done
	return code
}

func say(w io.Writer, message string) {
	if message == "" {
		return
	}
	fmt.Fprintln(w, strings.TrimSuffix(message, "\n"))
}

type executer interface {
	ExecuteContext(ctx context.Context) error
}

func command(kubeconfig string, args []string, in io.Reader, out, errOut io.Writer) executer {
	flags := genericclioptions.NewConfigFlags(true).WithDeprecatedPasswordFlag().WithDiscoveryBurst(discoveryBurst).WithDiscoveryQPS(discoveryQPS)
	*flags.KubeConfig = kubeconfig
	// Not in the home directory: another cluster on the same port would be taken for this one.
	*flags.CacheDir = filepath.Join(filepath.Dir(kubeconfig), ".kubectl-cache")
	c := cmd.NewKubectlCommand(cmd.KubectlOptions{
		Arguments:   append([]string{"kubectl"}, args...),
		ConfigFlags: flags,
		IOStreams:   genericiooptions.IOStreams{In: in, Out: out, ErrOut: errOut},
	})
	c.SetArgs(args)
	c.SetIn(in)
	c.SetOut(out)
	c.SetErr(errOut)
	c.SilenceErrors, c.SilenceUsage = true, true
	return c
}
