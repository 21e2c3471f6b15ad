package workbench

// TagPrefix begins the tags by which the platform says where a run comes from.
const TagPrefix = "kiwerk."

// Tags of runs that the platform has started. What begins with kiwerk.pod,
// .workflow or .image is written by the server, from the token of the caller.
const (
	TagPod            = "kiwerk.pod"
	TagPodUID         = "kiwerk.pod.uid"
	TagNode           = "kiwerk.node"
	TagWorkflow       = "kiwerk.workflow"
	TagWorkflowUID    = "kiwerk.workflow.uid"
	TagStep           = "kiwerk.step"
	TagTemplate       = "kiwerk.template"
	TagImage          = "kiwerk.image"
	TagImageDigest    = "kiwerk.image.digest"
	TagServiceAccount = "kiwerk.serviceAccount"
	TagSeed           = "kiwerk.seed"
	TagReproduces     = "kiwerk.reproduces"

	TagGitCommit = "mlflow.source.git.commit"
	TagParent    = "mlflow.parentRunId"
)

// Tags of approvals of model versions.
const (
	TagApproval       = "kiwerk.approval"
	TagApprovalBy     = "kiwerk.approval.by"
	TagApprovalAt     = "kiwerk.approval.at"
	TagApprovalReason = "kiwerk.approval.reason"

	Approved = "approved"
	Rejected = "rejected"
)

// Where the step agent leaves what only it can know.
const (
	LockFile = "kiwerk/environment.txt"
	DiffFile = "kiwerk/uncommitted.diff"
)
