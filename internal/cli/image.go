package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
)

// Images is how people look after stored images.
type Images struct {
	Load  func(ctx context.Context, s Session, file *os.File, name string) (*ImageList, error)
	Pull  func(ctx context.Context, s Session, name string, login *Login) (*ImageList, error)
	List  func(ctx context.Context, s Session) (*ImageList, error)
	Show  func(ctx context.Context, s Session, name string) (*Image, error)
	Rm    func(ctx context.Context, s Session, name string) (*ImagesRemoved, error)
	Prune func(ctx context.Context, s Session, all bool) (*ImagesRemoved, error)
}

// Login is who asks a registry.
type Login struct{ User, Password string }

// Image is one stored image.
type Image struct {
	ID      string    `json:"id"`
	Names   []string  `json:"names"`
	Digests []string  `json:"digests"`
	Bytes   int64     `json:"bytes"`
	Created time.Time `json:"created"`
	Added   time.Time `json:"added"`
	// Source is load or pull.
	Source string `json:"source"`
	// InUse says that a container runs in it.
	InUse  bool     `json:"inUse"`
	Layers []string `json:"layers"`

	Architecture string            `json:"architecture"`
	Entrypoint   []string          `json:"entrypoint,omitempty"`
	Cmd          []string          `json:"cmd,omitempty"`
	Env          []string          `json:"env,omitempty"`
	User         string            `json:"user,omitempty"`
	WorkingDir   string            `json:"workingDir,omitempty"`
	Volumes      []string          `json:"volumes,omitempty"`
	Ports        []string          `json:"ports,omitempty"`
	StopSignal   string            `json:"stopSignal,omitempty"`
	Labels       map[string]string `json:"labels,omitempty"`
}

// ImageList is what kiwerk image list prints, the newest first.
type ImageList struct {
	Items []Image `json:"images"`
	// Bytes is what all layers take on the disk, shared ones counted once.
	Bytes int64 `json:"bytes"`
	// Mode is what image names mean to the running platform.
	Mode string `json:"mode"`
}

// ImagesRemoved is what a removal freed.
type ImagesRemoved struct {
	Images []string `json:"images"`
	Layers int      `json:"layers"`
	Bytes  int64    `json:"bytes"`
}

const shownID = len("sha256:") + 12

func (i *Image) short() string { return strings.TrimPrefix(i.ID[:min(shownID, len(i.ID))], "sha256:") }

// Name is the first name, or else the digest or the id.
func (i *Image) Name() string {
	for _, list := range [][]string{i.Names, i.Digests} {
		if len(list) > 0 {
			return list[0]
		}
	}
	return i.ID
}

// Table prints one line per name.
func (l *ImageList) Table(w io.Writer, p *text.Printer) {
	rows := [][]string{p.Labels("IMAGE", "ID", "SIZE", "ADDED", "SOURCE", "IN USE")}
	for _, i := range l.Items {
		names := i.Names
		if len(names) == 0 {
			names = []string{i.Name()}
		}
		for _, n := range names {
			used := ""
			if i.InUse {
				used = "✓"
			}
			rows = append(rows, []string{n, i.short(), p.Bytes(i.Bytes), i.Added.Local().Format(time.DateTime), p.Label(i.Source), used})
		}
	}
	columns(w, rows)
}

// Table prints one line per property.
func (i *Image) Table(w io.Writer, p *text.Printer) {
	var rows [][]string
	add := func(name string, values ...string) {
		name = p.Label(name)
		for _, v := range values {
			if v != "" {
				rows = append(rows, []string{name, v})
				name = ""
			}
		}
	}
	add("id", i.ID)
	add("names", i.Names...)
	add("digests", i.Digests...)
	add("size", p.Bytes(i.Bytes))
	add("layers", i.Layers...)
	add("architecture", i.Architecture)
	add("source", p.Label(i.Source))
	add("entrypoint", strings.Join(i.Entrypoint, " "))
	add("cmd", strings.Join(i.Cmd, " "))
	add("env", i.Env...)
	add("user", i.User)
	add("workingDir", i.WorkingDir)
	add("volumes", i.Volumes...)
	add("ports", i.Ports...)
	add("stopSignal", i.StopSignal)
	for _, k := range sortedKeys(i.Labels) {
		add("label", k+"="+i.Labels[k])
	}
	columns(w, rows)
}

// Table says it in a sentence.
func (r *ImagesRemoved) Table(w io.Writer, p *text.Printer) {
	fmt.Fprintln(w, p.T(text.ImageRemoved, len(r.Images), r.Layers, p.Bytes(r.Bytes)))
}

func (t *tree) image() *cobra.Command {
	parent := &cobra.Command{
		Use: "image", Short: t.T(text.ImageShort), Args: t.noArguments,
		Example: "  kiwerk image load app.tar\n  kiwerk image list",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	parent.AddCommand(t.imageLoad(), t.imagePull(), t.imageList(), t.imageShow(), t.imageRm(), t.imagePrune())
	return parent
}

func (t *tree) imageLoad() *cobra.Command {
	var name string
	c := &cobra.Command{
		Use: "load FILE", Short: t.T(text.ImageLoadShort), Args: t.exactly(1),
		Example: "  kiwerk image load app.tar\n  kiwerk image load ./oci-layout --name example.com/app:1\n  kiwerk image load - < app.tar.gz",
		RunE: func(c *cobra.Command, args []string) error {
			f, done, err := t.openImage(args[0])
			if err != nil {
				return err
			}
			defer done()
			l, err := t.program.Images.Load(c.Context(), t.session, f, name)
			return t.arrived(text.ImageLoaded, l, err)
		},
	}
	c.Flags().StringVar(&name, "name", "", t.T(text.FlagImageName))
	t.printsData(c)
	return c
}

// openImage opens a file, a directory or standard input.
func (t *tree) openImage(path string) (*os.File, func(), error) {
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, nil, &Failure{Code: ExitNotFound, What: text.S(text.ImageNoFile, path), Cause: err}
		}
		return f, func() { _ = f.Close() }, nil // only read
	}
	f, ok := t.program.In.(*os.File)
	if !ok {
		return nil, nil, usage(text.S(text.UsageStdin), "kiwerk image load - < FILE")
	}
	return f, func() {}, nil
}

// arrived prints new images and what to do with them.
func (t *tree) arrived(key text.Key, l *ImageList, err error) error {
	if err != nil {
		return err
	}
	return t.print(arrival{l, key})
}

// arrival is a list of images that have just come.
type arrival struct {
	*ImageList
	key text.Key
}

// Table says what is there now and what to do next.
func (a arrival) Table(w io.Writer, p *text.Printer) {
	for _, i := range a.Items {
		fmt.Fprintln(w, p.T(a.key, i.Name()))
	}
	if a.Mode == "host" {
		fmt.Fprintln(w, p.T(text.ImageHostOnly))
	} else if len(a.Items) > 0 {
		fmt.Fprintln(w, p.T(text.ImageNext, a.Items[0].Name()))
	}
}

func (t *tree) imagePull() *cobra.Command {
	var login Login
	var fromStdin bool
	c := &cobra.Command{
		Use: "pull NAME", Short: t.T(text.ImagePullShort), Args: t.exactly(1),
		Example: "  kiwerk image pull python:3.12-slim\n  kiwerk image pull registry.example.com/team/app:1 --username me --password-stdin < password",
		RunE: func(c *cobra.Command, args []string) error {
			if fromStdin != (login.User != "") {
				return usage(text.S(text.UsageLogin), "kiwerk image pull "+args[0]+" --username USER --password-stdin")
			}
			var with *Login
			if fromStdin {
				line, err := bufio.NewReader(t.program.In).ReadString('\n')
				if err != nil && !errors.Is(err, io.EOF) {
					return err
				}
				login.Password = strings.TrimRight(line, "\r\n")
				with = &login
			}
			l, err := t.program.Images.Pull(c.Context(), t.session, args[0], with)
			return t.arrived(text.ImagePulled, l, err)
		},
	}
	c.Flags().StringVar(&login.User, "username", "", t.T(text.FlagImageUser))
	c.Flags().BoolVar(&fromStdin, "password-stdin", false, t.T(text.FlagPasswordStdin))
	t.printsData(c)
	return c
}

func (t *tree) imageList() *cobra.Command {
	c := &cobra.Command{
		Use: "list", Short: t.T(text.ImageListShort), Args: t.noArguments,
		Example: "  kiwerk image list\n  kiwerk image list -o json",
		RunE: func(c *cobra.Command, _ []string) error {
			l, err := t.program.Images.List(c.Context(), t.session)
			if err != nil {
				return err
			}
			return t.print(l)
		},
	}
	t.printsData(c)
	return c
}

func (t *tree) imageShow() *cobra.Command {
	c := &cobra.Command{
		Use: "show NAME", Short: t.T(text.ImageShowShort), Args: t.exactly(1),
		Example: "  kiwerk image show app:1\n  kiwerk image show 0f1e2d3c4b5a -o json",
		RunE: func(c *cobra.Command, args []string) error {
			i, err := t.program.Images.Show(c.Context(), t.session, args[0])
			if err != nil {
				return err
			}
			return t.print(i)
		},
	}
	t.printsData(c)
	return c
}

func (t *tree) imageRm() *cobra.Command {
	c := &cobra.Command{
		Use: "rm NAME…", Short: t.T(text.ImageRmShort), Args: t.between(1, math.MaxInt),
		Example: "  kiwerk image rm app:1\n  kiwerk image rm app:1 app:2 -o json",
		RunE: func(c *cobra.Command, args []string) error {
			sum := &ImagesRemoved{Images: []string{}}
			for _, name := range args {
				r, err := t.program.Images.Rm(c.Context(), t.session, name)
				if err != nil {
					return err
				}
				sum.Images = append(sum.Images, r.Images...)
				sum.Layers, sum.Bytes = sum.Layers+r.Layers, sum.Bytes+r.Bytes
			}
			return t.print(sum)
		},
	}
	t.printsData(c)
	return c
}

func (t *tree) imagePrune() *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use: "prune", Short: t.T(text.ImagePruneShort), Args: t.noArguments,
		Example: "  kiwerk image prune\n  kiwerk image prune --all",
		RunE: func(c *cobra.Command, _ []string) error {
			r, err := t.program.Images.Prune(c.Context(), t.session, all)
			if err != nil {
				return err
			}
			return t.print(r)
		},
	}
	c.Flags().BoolVar(&all, "all", false, t.T(text.FlagImageAll))
	t.printsData(c)
	return c
}
