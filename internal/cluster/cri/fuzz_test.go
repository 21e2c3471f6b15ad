//go:build linux

package cri_test

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	runtimeapi "k8s.io/cri-api/pkg/apis/runtime/v1"
)

// fuzzPatience bounds one call: a stop may have been asked to wait for centuries.
const fuzzPatience = 3 * time.Second

// expected are the codes with which a call may end. Unknown and Internal mean
// that the runtime did not see what was wrong; a panic ends the test.
var expected = []codes.Code{
	codes.OK, codes.InvalidArgument, codes.NotFound, codes.FailedPrecondition, codes.Unimplemented, codes.ResourceExhausted,
	codes.DeadlineExceeded, codes.Canceled,
}

// FuzzServer sends every call of the CRI with fields taken away, changed and
// filled with what no kubelet sends, to a real server over its socket.
func FuzzServer(f *testing.F) {
	methods := criMethods()
	for i := range methods {
		for seed := range uint64(12) {
			f.Add(uint16(i), seed, []byte(nil))
		}
		f.Add(uint16(i), uint64(0), []byte("\x0a\x03abc\x12\x00"))
	}
	n := newNode(f)
	sb, sc := n.sandbox("fuzz")
	running := n.run(sb, sc, shell("echo ready; sleep 100000"))
	n.ready(running)
	m := mutator{strings: []string{
		sb, running, running[:8], "", "main", "/proc/1/root", "../../../etc", "/etc/../..", "a\x00b", "a\nb", "x=y", "=", "/", ".",
		strings.Repeat("x", 5000), filepath.Join(n.data, "logs", "f"), "sh", "0", "-1", "\u202e",
	}}
	f.Fuzz(func(t *testing.T, method uint16, seed uint64, raw []byte) {
		d := methods[int(method)%len(methods)]
		req := newMessage(t, d.Input())
		m.random = rand.New(rand.NewPCG(seed, uint64(method)))
		fill(req, sb, running, sc)
		if proto.Unmarshal(raw, req) != nil {
			return // gRPC refuses it before us
		}
		if len(raw) == 0 {
			m.mutate(req.ProtoReflect(), 0)
		}
		ctx, cancel := context.WithTimeout(t.Context(), fuzzPatience)
		defer cancel()
		err := n.invoke(ctx, d, req, newMessage(t, d.Output()))
		if code := status.Code(err); !slices.Contains(expected, code) {
			t.Errorf("%s: %v\n%v", d.Name(), err, req)
		}
		if _, err := n.rt.Version(t.Context(), &runtimeapi.VersionRequest{}); err != nil {
			t.Fatalf("the server does not answer any more: %v", err)
		}
	})
}

// criMethods are all calls, in a stable order.
func criMethods() []protoreflect.MethodDescriptor {
	var all []protoreflect.MethodDescriptor
	services := runtimeapi.File_staging_src_k8s_io_cri_api_pkg_apis_runtime_v1_api_proto.Services()
	for i := range services.Len() {
		methods := services.Get(i).Methods()
		for j := range methods.Len() {
			all = append(all, methods.Get(j))
		}
	}
	return all
}

func newMessage(t testing.TB, d protoreflect.MessageDescriptor) proto.Message {
	t.Helper()
	kind, err := protoregistry.GlobalTypes.FindMessageByName(d.FullName())
	if err != nil {
		t.Fatal(err)
	}
	return kind.New().Interface()
}

// invoke makes a call; of a stream it takes the first answer.
func (n *node) invoke(ctx context.Context, d protoreflect.MethodDescriptor, req, resp proto.Message) error {
	path := fmt.Sprintf("/%s/%s", d.Parent().FullName(), d.Name())
	if !d.IsStreamingServer() {
		return n.conn.Invoke(ctx, path, req, resp)
	}
	ctx, cancel := context.WithTimeout(ctx, 20*time.Millisecond)
	defer cancel()
	stream, err := n.conn.NewStream(ctx, &grpc.StreamDesc{ServerStreams: true}, path)
	if err != nil {
		return err
	}
	if err := stream.SendMsg(req); err != nil {
		return err
	}
	return stream.RecvMsg(resp)
}

// fill makes a request that would be good, where that takes more than an id.
func fill(req proto.Message, sandbox, container string, sc *runtimeapi.PodSandboxConfig) {
	sc = proto.Clone(sc).(*runtimeapi.PodSandboxConfig)
	switch r := req.(type) {
	case *runtimeapi.RunPodSandboxRequest:
		r.Config = sc
	case *runtimeapi.CreateContainerRequest:
		r.PodSandboxId, r.Config, r.SandboxConfig = sandbox, shell("true"), sc
	default:
		fields := req.ProtoReflect().Descriptor().Fields()
		for name, id := range map[protoreflect.Name]string{"container_id": container, "pod_sandbox_id": sandbox} {
			if f := fields.ByName(name); f != nil {
				req.ProtoReflect().Set(f, protoreflect.ValueOfString(id))
			}
		}
	}
}

// mutator changes messages at random.
type mutator struct {
	random  *rand.Rand
	strings []string
}

const maxDepth = 4

// mutate leaves most fields, clears some and sets some to something odd.
func (m *mutator) mutate(msg protoreflect.Message, depth int) {
	fields := msg.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch m.random.IntN(6) {
		case 0:
			msg.Clear(f)
		case 1:
			m.set(msg, f, depth)
		case 2, 3: // go on below
			if f.Message() != nil && !f.IsList() && !f.IsMap() && msg.Has(f) {
				m.mutate(msg.Mutable(f).Message(), depth+1)
			}
		}
	}
}

func (m *mutator) set(msg protoreflect.Message, f protoreflect.FieldDescriptor, depth int) {
	switch {
	case depth > maxDepth:
	case f.IsMap():
		key := f.MapKey()
		if f.MapValue().Message() == nil {
			msg.Mutable(f).Map().Set(m.scalar(key).MapKey(), m.scalar(f.MapValue()))
		}
	case f.IsList():
		list := msg.Mutable(f).List()
		for range m.random.IntN(3) {
			if f.Message() == nil {
				list.Append(m.scalar(f))
				continue
			}
			m.mutate(list.AppendMutable().Message(), depth+1)
		}
	case f.Message() != nil:
		m.mutate(msg.Mutable(f).Message(), depth+1)
	default:
		msg.Set(f, m.scalar(f))
	}
}

func (m *mutator) scalar(f protoreflect.FieldDescriptor) protoreflect.Value {
	numbers := []int64{0, 1, -1, 80, math.MaxInt32, math.MinInt32, math.MaxInt64, math.MinInt64, m.random.Int64()}
	n := numbers[m.random.IntN(len(numbers))]
	switch f.Kind().String() {
	case "bool":
		return protoreflect.ValueOfBool(n&1 == 0)
	case "enum":
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(int32(n)))
	case "int32":
		return protoreflect.ValueOfInt32(int32(n))
	case "int64":
		return protoreflect.ValueOfInt64(n)
	case "uint32":
		return protoreflect.ValueOfUint32(uint32(n))
	case "uint64":
		return protoreflect.ValueOfUint64(uint64(n))
	case "double":
		return protoreflect.ValueOfFloat64(float64(n))
	case "bytes":
		return protoreflect.ValueOfBytes([]byte(m.strings[m.random.IntN(len(m.strings))]))
	}
	return protoreflect.ValueOfString(m.strings[m.random.IntN(len(m.strings))])
}
