package access

import (
	"slices"
	"strconv"
	"strings"

	"github.com/kiwerk/kiwerk/internal/tracking/model"
)

// Permissions that a grant can give.
const (
	Read   = "READ"
	Use    = "USE"
	Edit   = "EDIT"
	Manage = "MANAGE"
	Deny   = "DENY"
	None   = "NO_PERMISSIONS"
)

// rank orders permissions; DENY is not among them, because it wins.
var rank = map[string]int{None: 0, Read: 1, Use: 2, Edit: 3, Manage: 4}

// action is what a request does with an object.
type action int

const (
	actRead action = iota
	actUse
	actUpdate
	actDelete
	actManage
)

// least permission for each action.
var least = map[action]string{actRead: Read, actUse: Use, actUpdate: Edit, actDelete: Manage, actManage: Manage}

func allows(permission string, a action) bool {
	return permission != Deny && rank[permission] >= rank[least[a]]
}

// Kinds of resources.
const (
	kindWorkspace  = "workspace"
	kindExperiment = model.OwnedExperiment
	kindRegistered = model.OwnedModel
	kindPrompt     = model.OwnedPrompt
	kindScorer     = model.OwnedScorer
	kindMCP        = model.OwnedMCPServer

	tierRun         = "run"
	tierTrace       = "trace"
	tierLoggedModel = "logged_model"
	tierVersion     = "registered_model_version"
	tierPrompt      = "prompt_version"
	tierMCP         = "mcp_server_version"
	tierQueue       = "review_queue"
	tierAssessment  = "assessment"
	tierScorer      = "scorer_version"
)

// grain tells for each kind whether its grants may name one object.
var grain = map[string]bool{
	kindWorkspace: false, kindExperiment: true, kindRegistered: true, kindPrompt: true, kindScorer: true,
	"gateway_secret": true, "gateway_endpoint": true, "gateway_model_definition": true, kindMCP: true,
	tierRun: false, tierTrace: false, tierAssessment: false, tierLoggedModel: false, tierQueue: false,
	tierVersion: false, tierPrompt: false, tierScorer: false, tierMCP: false,
}

// everything is the pattern of all objects of a kind.
const everything = "*"

func checkGrant(kind, pattern, permission string) error {
	if _, ok := rank[permission]; !ok && permission != Deny {
		return model.Invalid("Invalid permission '%s'. Valid permissions are: READ, USE, EDIT, MANAGE, DENY", permission)
	}
	single, known := grain[kind]
	if !known {
		return model.Invalid("Invalid resource type '%s'. Valid resource types are: %s", kind, strings.Join(kinds(), ", "))
	}
	switch {
	case pattern == "" || !single && pattern != everything:
		return model.Invalid("Invalid resource_pattern '%s' for resource_type='%s'. This resource type supports only wildcard ('*') grants.", pattern, kind)
	case kind == kindWorkspace && permission != Use && permission != Manage:
		return model.Invalid("Invalid permission '%s' for resource_type='workspace'. Workspace-wide grants accept only: MANAGE, USE.", permission)
	case permission == None:
		return model.Invalid("Invalid permission '%s' for resource_type='%s': no grant is how no permission is said.", permission, kind)
	}
	return nil
}

func kinds() (list []string) {
	for k := range grain {
		list = append(list, k)
	}
	slices.Sort(list)
	return list
}

// grant is a permission that a role gives in a workspace.
type grant struct {
	workspace, kind, pattern, permission string
}

// key is what a grant can be about.
type key struct{ kind, id string }

// experimentKey is an experiment as grants name it: clients may write zeros before its number.
func experimentKey(n int64) key { return key{kindExperiment, strconv.FormatInt(n, 10)} }

// policy is what counts where no grant does.
type policy struct {
	standard string // default_permission
	// workspaces says that they are kept apart; open that everybody belongs to the default one.
	workspaces, open bool
}

// decide finds the permission on the first of the keys that a grant speaks about.
func (p policy) decide(grants []grant, workspace string, keys ...key) string {
	for _, g := range grants {
		if g.workspace == workspace && g.kind == kindWorkspace && g.permission == Manage {
			return Manage // administrators of a workspace are not restricted
		}
	}
	for _, k := range keys {
		if got := fold(grants, workspace, k); got != "" {
			if got == Deny || rank[got] >= rank[p.standard] {
				return got
			}
			return p.standard
		}
	}
	// To be a member of a workspace is to make objects there, not to see those of others.
	if !p.workspaces || p.open && workspace == defaultWorkspace {
		return p.standard
	}
	return None
}

// fold is the permission of all grants on a key: DENY, or the highest, or none.
func fold(grants []grant, workspace string, k key) (best string) {
	for _, g := range grants {
		if g.workspace != workspace || g.kind != k.kind || g.pattern != everything && g.pattern != k.id {
			continue
		}
		if g.permission == Deny {
			return Deny
		}
		if best == "" || rank[g.permission] > rank[best] {
			best = g.permission
		}
	}
	return best
}
