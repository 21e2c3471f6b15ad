package cli

import (
	"cmp"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kiwerk/kiwerk/internal/text"
	"github.com/kiwerk/kiwerk/internal/tracking/client"
	"github.com/kiwerk/kiwerk/internal/tracking/workbench"
)

func (t *tree) models() *cobra.Command {
	parent := &cobra.Command{
		Use: "models", Aliases: []string{"model"}, Short: t.T(text.ModelsShort), Long: t.T(text.ModelsLong), Args: t.noArguments,
		Example: "  kiwerk models list\n  kiwerk models show digits\n  kiwerk models pull digits@champion",
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	s := t.connects(parent)
	parent.AddCommand(s.listModels(), s.showModel(), s.registerModel(), s.aliasModel(), s.approveModel(), s.modelLineage(), s.pullModel())
	return parent
}

func (s *trackers) listModels() *cobra.Command {
	var q client.Query
	c := &cobra.Command{
		Use: "list", Short: s.T(text.ModelsListShort), Args: s.noArguments,
		Example: "  kiwerk models list\n  kiwerk models list --filter \"name LIKE 'dig%'\" -o csv",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, _ []string) error {
		if q.Max < 0 {
			return usage(text.S(text.UsageFlagInvalid, "limit", strconv.Itoa(q.Max)), c.CommandPath()+" --limit 0")
		}
		list := &RegisteredModels{Items: []client.RegisteredModel{}}
		for m, err := range server.RegisteredModels(c.Context(), q) {
			if err != nil {
				return err
			}
			list.Items = append(list.Items, m)
		}
		return s.printList(list)
	})
	f := c.Flags()
	f.StringVarP(&q.Filter, "filter", "f", "", s.T(text.FlagFilter))
	f.StringArrayVar(&q.OrderBy, "order-by", nil, s.T(text.FlagOrderBy))
	f.IntVar(&q.Max, "limit", 0, s.T(text.FlagLimit))
	s.printsData(c, tabular...)
	return c
}

func (s *trackers) showModel() *cobra.Command {
	c := &cobra.Command{
		Use: "show MODEL", Short: s.T(text.ModelsShowShort), Args: s.exactly(1), ValidArgsFunction: s.completed(s.modelNames),
		Example: "  kiwerk models show digits\n  kiwerk models show digits/3\n  kiwerk models show digits@champion -o json",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		name, version, alias, err := workbench.ParseVersion(args[0])
		if err != nil {
			return err
		}
		m, err := server.RegisteredModel(c.Context(), name)
		if err != nil {
			return err
		}
		shown := &RegisteredModel{RegisteredModel: m, Versions: []client.ModelVersion{}, one: version+alias != ""}
		if shown.one {
			v, err := workbench.Version(c.Context(), server, args[0])
			if err != nil {
				return err
			}
			shown.Versions = append(shown.Versions, v)
			return s.print(shown)
		}
		for v, err := range workbench.Versions(c.Context(), server, name) {
			if err != nil {
				return err
			}
			shown.Versions = append(shown.Versions, v)
		}
		return s.print(shown)
	})
	s.printsData(c)
	return c
}

// registration is what kiwerk models register is asked for.
type registration struct {
	run, path, model, source, description string
	tags                                  []string
}

func (s *trackers) registerModel() *cobra.Command {
	var r registration
	c := &cobra.Command{
		Use: "register MODEL", Short: s.T(text.ModelsRegisterShort), Args: s.exactly(1),
		Example: "  kiwerk models register digits --run 4f2a91bc0d6e4a50b8d7c1f2e3a49586 --path model\n  kiwerk models register digits --model-id m-4f2a91bc0d6e4a50b8d7c1f2e3a49586",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		n, err := s.newVersion(c, server, args[0], r)
		if err != nil {
			return err
		}
		err = server.CreateRegisteredModel(c.Context(), n.Name)
		if err != nil && !exists(err) {
			return err
		}
		v, err := server.CreateModelVersion(c.Context(), n)
		if err != nil {
			return err
		}
		return s.print(&ModelChanged{v, text.S(text.ModelRegistered, v.Version, v.Name, v.Name, v.Version, v.Name, v.Version)})
	})
	f := c.Flags()
	f.StringVar(&r.run, "run", "", s.T(text.FlagModelRun))
	f.StringVar(&r.path, "path", "model", s.T(text.FlagModelPath))
	f.StringVar(&r.model, "model-id", "", s.T(text.FlagModelID))
	f.StringVar(&r.source, "source", "", s.T(text.FlagModelSource))
	f.StringVar(&r.description, "description", "", s.T(text.FlagModelDescription))
	f.StringArrayVar(&r.tags, "tag", nil, s.T(text.FlagModelTag))
	s.completes(c, "run", s.runIDs)
	s.printsData(c)
	return c
}

func exists(err error) bool {
	e, ok := err.(*client.Error) //nolint:errorlint // Do gives the server's refusal as it is.
	return ok && (e.Code == "RESOURCE_ALREADY_EXISTS" || e.Status == http.StatusConflict)
}

func (s *trackers) newVersion(c *cobra.Command, server *client.Client, name string, r registration) (client.NewVersion, error) {
	n := client.NewVersion{Name: name, Source: r.source, RunID: r.run, ModelID: r.model, Description: r.description}
	for _, t := range r.tags {
		key, value, ok := strings.Cut(t, "=")
		if !ok || key == "" {
			return n, usage(text.S(text.UsageTag, t), c.CommandPath()+" "+name+" --tag team=vision")
		}
		n.Tags = append(n.Tags, client.Pair{Key: key, Value: value})
	}
	var run client.Run
	if r.run != "" {
		var err error
		if run, err = workbench.FindRun(c.Context(), server, r.run); err != nil {
			return n, err
		}
		n.RunID = run.Info.ID
	}
	switch {
	case r.source != "":
	case r.model != "":
		m, err := server.LoggedModel(c.Context(), r.model)
		if err != nil {
			return n, err
		}
		n.Source, n.RunID = m.Info.ArtifactURI, cmp.Or(n.RunID, m.Info.SourceRun)
	case r.run != "":
		found, err := workbench.FromRun(c.Context(), server, run, r.path)
		if err != nil {
			return n, err
		}
		n.Source, n.ModelID = found.Source, found.ModelID
	default:
		return n, usage(text.S(text.UsageRegister), c.CommandPath()+" "+name+" --run RUN --path model")
	}
	return n, nil
}

func (s *trackers) aliasModel() *cobra.Command {
	var remove bool
	c := &cobra.Command{
		Use: "alias MODEL ALIAS", Short: s.T(text.ModelsAliasShort), Long: s.T(text.ModelsAliasLong), Args: s.exactly(2), ValidArgsFunction: s.completed(s.modelNames),
		Example: "  kiwerk models alias digits/3 champion\n  kiwerk models alias digits champion --delete",
	}
	c.RunE = s.asks(func(c *cobra.Command, server *client.Client, args []string) error {
		alias := args[1]
		if remove {
			name, _, _, err := workbench.ParseVersion(args[0])
			if err != nil {
				return err
			}
			if err := server.DeleteAlias(c.Context(), name, alias); err != nil {
				return err
			}
			return s.print(&ModelChanged{client.ModelVersion{Name: name}, text.S(text.ModelUnaliased, alias, name, name)})
		}
		v, err := workbench.Version(c.Context(), server, args[0])
		if err != nil {
			return err
		}
		if err := server.SetAlias(c.Context(), v.Name, alias, v.Version); err != nil {
			return err
		}
		return s.print(&ModelChanged{v, text.S(text.ModelAliased, alias, v.Version, v.Name, v.Name, alias)})
	})
	c.Flags().BoolVar(&remove, "delete", false, s.T(text.FlagAliasDelete))
	s.printsData(c)
	return c
}

func (s *trackers) approveModel() *cobra.Command {
	var reject bool
	var reason, alias string
	c := &cobra.Command{
		Use: "approve MODEL", Short: s.T(text.ModelsApproveShort), Long: s.T(text.ModelsApproveLong), Args: s.exactly(1), ValidArgsFunction: s.completed(s.modelNames),
		Example: "  kiwerk models approve digits/3 --alias champion\n  kiwerk models approve digits/3 --reject --reason 'not enough night shifts'",
	}
	approve := s.asksVersion(func(c *cobra.Command, server *client.Client, v client.ModelVersion) error {
		get := s.program.Getenv
		a := workbench.Approval{Verdict: workbench.Approved, By: cmp.Or(get("MLFLOW_TRACKING_USERNAME"), get("LOGNAME"), get("USER"), "local"), Reason: reason, At: s.program.now()}
		said := text.S(text.ModelApproved, v.Version, v.Name, v.Name)
		if reject {
			a.Verdict, said = workbench.Rejected, text.S(text.ModelRejected, v.Version, v.Name, v.Name)
		}
		if err := workbench.Approve(c.Context(), server, v, a); err != nil {
			return err
		}
		if alias != "" {
			if err := server.SetAlias(c.Context(), v.Name, alias, v.Version); err != nil {
				return err
			}
		}
		return s.print(&ModelChanged{v, said})
	})
	c.RunE = func(c *cobra.Command, args []string) error {
		if reject && (strings.TrimSpace(reason) == "" || alias != "") {
			return usage(text.S(text.UsageReject), "kiwerk models approve "+args[0]+" --reject --reason WHY")
		}
		return approve(c, args)
	}
	c.Flags().BoolVar(&reject, "reject", false, s.T(text.FlagReject))
	c.Flags().StringVar(&reason, "reason", "", s.T(text.FlagReason))
	c.Flags().StringVar(&alias, "alias", "", s.T(text.FlagApproveAlias))
	s.printsData(c)
	return c
}

func (s *trackers) pullModel() *cobra.Command {
	var to string
	c := &cobra.Command{
		Use: "pull MODEL", Short: s.T(text.ModelsPullShort), Long: s.T(text.ModelsPullLong), Args: s.exactly(1), ValidArgsFunction: s.completed(s.modelNames),
		Example: "  kiwerk models pull digits@champion\n  kiwerk models pull digits/3 --to ./model",
	}
	c.RunE = s.asksVersion(func(c *cobra.Command, server *client.Client, v client.ModelVersion) error {
		folder, err := workbench.VersionFolder(c.Context(), server, v)
		if err != nil {
			return err
		}
		if to == "" {
			to = fmt.Sprintf("%s-%s", strings.ReplaceAll(v.Name, "/", "_"), v.Version)
		}
		files, err := workbench.PullModel(c.Context(), server, folder, to, s.pulled)
		if err != nil {
			return err
		}
		return s.print(&ModelPulled{v.Name, v.Version, to, files})
	})
	c.Flags().StringVar(&to, "to", "", s.T(text.FlagPullTo))
	s.printsData(c)
	return c
}

// now is when a person decides.
func (p Program) now() time.Time {
	if p.Now == nil {
		return time.Now()
	}
	return p.Now()
}
