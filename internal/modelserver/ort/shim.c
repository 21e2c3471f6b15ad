//go:build cgo

#include "shim.h"

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "onnxruntime_c_api.h"

struct kw_runtime {
  const OrtApi *api;
  OrtEnv *env;
  OrtMemoryInfo *memory;
};

struct kw_session {
  kw_runtime *runtime;
  OrtSession *session;
  size_t n_inputs, n_outputs;
  kw_spec *inputs, *outputs;
  const char **input_names, **output_names;
};

static int fail(char **failure, int kind, const char *what, const char *why) {
  size_t n = strlen(what) + strlen(why) + 3;
  *failure = malloc(n);
  if (*failure) snprintf(*failure, n, "%s%s%s", what, *what ? ": " : "", why);
  return kind;
}

// check turns a status into a kind and a text, and frees it.
static int check(const OrtApi *api, OrtStatus *status, const char *what, char **failure) {
  if (!status) return KW_OK;
  OrtErrorCode code = api->GetErrorCode(status);
  int kind = code == ORT_INVALID_ARGUMENT || code == ORT_INVALID_GRAPH ? KW_INVALID_ARGUMENT : KW_FAILED;
  fail(failure, kind, what, api->GetErrorMessage(status));
  api->ReleaseStatus(status);
  return kind;
}

#define TRY(call, what)                                              \
  do {                                                               \
    int kind_ = check(api, (api->call), (what), failure);            \
    if (kind_ != KW_OK) { result = kind_; goto done; }               \
  } while (0)

int kw_open(const char *library, kw_runtime **out, char **failure) {
  void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
  if (!handle) return fail(failure, KW_FAILED, "", dlerror());
  const OrtApiBase *(*base)(void) = (const OrtApiBase *(*)(void))dlsym(handle, "OrtGetApiBase");
  if (!base) return fail(failure, KW_FAILED, library, "is no ONNX Runtime: it has no OrtGetApiBase");
  const OrtApi *api = base()->GetApi(ORT_API_VERSION);
  if (!api) return fail(failure, KW_FAILED, "this ONNX Runtime is too old", base()->GetVersionString());
  int result = KW_OK;
  kw_runtime *r = calloc(1, sizeof *r);
  if (!r) return fail(failure, KW_FAILED, "", "out of memory");
  r->api = api;
  // Failures are returned; the library's own lines would stand between those of our log.
  TRY(CreateEnv(ORT_LOGGING_LEVEL_FATAL, "kiwerk", &r->env), "start ONNX Runtime");
  TRY(DisableTelemetryEvents(r->env), "start ONNX Runtime");
  TRY(CreateCpuMemoryInfo(OrtDeviceAllocator, OrtMemTypeDefault, &r->memory), "start ONNX Runtime");
  *out = r;
  return KW_OK;
done:
  if (r->env) api->ReleaseEnv(r->env);
  free(r);
  return result;
}

// describe fills a spec from the library's type information.
static int describe(const OrtApi *api, const OrtTypeInfo *info, kw_spec *spec, char **failure) {
  int result = KW_OK;
  const OrtTensorTypeAndShapeInfo *tensor = NULL;
  size_t rank = 0;
  ONNXTensorElementDataType type;
  TRY(CastTypeInfoToTensorInfo(info, &tensor), spec->name);
  if (!tensor) goto done;
  TRY(GetTensorElementType(tensor, &type), spec->name);
  TRY(GetDimensionsCount(tensor, &rank), spec->name);
  if (rank > KW_MAX_RANK) { result = fail(failure, KW_INVALID_ARGUMENT, spec->name, "has more than 32 dimensions"); goto done; }
  TRY(GetDimensions(tensor, spec->dims, rank), spec->name);
  spec->is_tensor = 1;
  spec->type = type;
  spec->rank = (int32_t)rank;
done:
  return result;
}

typedef OrtStatus *(ORT_API_CALL *name_fn)(const OrtSession *, size_t, OrtAllocator *, char **);
typedef OrtStatus *(ORT_API_CALL *info_fn)(const OrtSession *, size_t, OrtTypeInfo **);

static int describe_all(kw_session *s, size_t n, name_fn get_name, info_fn get_info, kw_spec **specs, const char ***names, char **failure) {
  const OrtApi *api = s->runtime->api;
  int result = KW_OK;
  OrtAllocator *allocator = NULL;
  OrtTypeInfo *info = NULL;
  char *name = NULL;
  *specs = calloc(n + 1, sizeof **specs);
  *names = calloc(n + 1, sizeof **names);
  if (!*specs || !*names) return fail(failure, KW_FAILED, "", "out of memory");
  TRY(GetAllocatorWithDefaultOptions(&allocator), "describe model");
  for (size_t i = 0; i < n; i++) {
    result = check(api, get_name(s->session, i, allocator, &name), "describe model", failure);
    if (result != KW_OK) goto done;
    (*specs)[i].name = (*names)[i] = strdup(name);
    TRY(AllocatorFree(allocator, name), "describe model");
    result = check(api, get_info(s->session, i, &info), "describe model", failure);
    if (result != KW_OK) goto done;
    result = describe(api, info, &(*specs)[i], failure);
    api->ReleaseTypeInfo(info);
    if (result != KW_OK) goto done;
  }
done:
  return result;
}

int kw_load(kw_runtime *r, const char *model, int threads, kw_session **out, char **failure) {
  const OrtApi *api = r->api;
  int result = KW_OK;
  OrtSessionOptions *options = NULL;
  kw_session *s = calloc(1, sizeof *s);
  if (!s) return fail(failure, KW_FAILED, "", "out of memory");
  s->runtime = r;
  TRY(CreateSessionOptions(&options), "load model");
  TRY(SetIntraOpNumThreads(options, threads), "load model");
  TRY(SetInterOpNumThreads(options, 1), "load model");
  TRY(AddSessionConfigEntry(options, "session.intra_op.allow_spinning", "0"), "load model");
  TRY(AddSessionConfigEntry(options, "session.inter_op.allow_spinning", "0"), "load model");
  TRY(CreateSession(r->env, model, options, &s->session), "load model");
  TRY(SessionGetInputCount(s->session, &s->n_inputs), "describe model");
  TRY(SessionGetOutputCount(s->session, &s->n_outputs), "describe model");
  result = describe_all(s, s->n_inputs, api->SessionGetInputName, api->SessionGetInputTypeInfo, &s->inputs, &s->input_names, failure);
  if (result != KW_OK) goto done;
  result = describe_all(s, s->n_outputs, api->SessionGetOutputName, api->SessionGetOutputTypeInfo, &s->outputs, &s->output_names, failure);
done:
  if (options) api->ReleaseSessionOptions(options);
  if (result != KW_OK) {
    kw_unload(s);
    return result;
  }
  *out = s;
  return KW_OK;
}

static void free_specs(kw_spec *specs, const char **names, size_t n) {
  for (size_t i = 0; specs && i < n; i++) free((char *)specs[i].name);
  free(specs);
  free(names);
}

void kw_unload(kw_session *s) {
  if (s->session) s->runtime->api->ReleaseSession(s->session);
  free_specs(s->inputs, s->input_names, s->n_inputs);
  free_specs(s->outputs, s->output_names, s->n_outputs);
  free(s);
}

size_t kw_inputs(const kw_session *s) { return s->n_inputs; }
size_t kw_outputs(const kw_session *s) { return s->n_outputs; }
const kw_spec *kw_input_spec(const kw_session *s, size_t i) { return &s->inputs[i]; }
const kw_spec *kw_output_spec(const kw_session *s, size_t i) { return &s->outputs[i]; }

// string_tensor copies strings into a tensor of the library. Lengths are given,
// so strings may hold zero bytes.
static int string_tensor(const OrtApi *api, const kw_input *in, OrtValue **value, char **failure) {
  int result = KW_OK;
  OrtAllocator *allocator = NULL;
  TRY(GetAllocatorWithDefaultOptions(&allocator), "make input");
  TRY(CreateTensorAsOrtValue(allocator, in->dims, (size_t)in->rank, ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING, value), "make input");
  uint64_t start = 0;
  for (size_t i = 0; i < in->count; i++) {
    char *to = NULL;
    size_t n = (size_t)(in->ends[i] - start);
    TRY(GetResizedStringTensorElementBuffer(*value, i, n, &to), "make input");
    if (n) memcpy(to, (const char *)in->data + start, n);
    start = in->ends[i];
  }
done:
  return result;
}

// string_output copies the strings of an output, because the library does not show them in place.
static int string_output(const OrtApi *api, kw_output *out, char **failure) {
  int result = KW_OK;
  size_t length = 0;
  size_t *starts = NULL;
  TRY(GetStringTensorDataLength(out->value, &length), "read output");
  out->owned = malloc(length + 1);
  out->ends = malloc((out->count + 1) * sizeof *out->ends);
  starts = malloc((out->count + 1) * sizeof *starts);
  if (!out->owned || !out->ends || !starts) { result = fail(failure, KW_FAILED, "", "out of memory"); goto done; }
  if (out->count) TRY(GetStringTensorContent(out->value, out->owned, length, starts, out->count), "read output");
  for (size_t i = 0; i < out->count; i++) out->ends[i] = i + 1 < out->count ? starts[i + 1] : length;
  out->data = out->owned;
done:
  free(starts);
  return result;
}

static int read_output(const OrtApi *api, kw_output *out, char **failure) {
  int result = KW_OK;
  OrtTensorTypeAndShapeInfo *info = NULL;
  ONNXTensorElementDataType type;
  size_t rank = 0;
  void *data = NULL;
  TRY(GetTensorTypeAndShape(out->value, &info), "read output");
  TRY(GetTensorElementType(info, &type), "read output");
  TRY(GetDimensionsCount(info, &rank), "read output");
  if (rank > KW_MAX_RANK) { result = fail(failure, KW_FAILED, "read output", "more than 32 dimensions"); goto done; }
  TRY(GetDimensions(info, out->dims, rank), "read output");
  TRY(GetTensorShapeElementCount(info, &out->count), "read output");
  out->type = type;
  out->rank = (int32_t)rank;
  if (type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
    result = string_output(api, out, failure);
    goto done;
  }
  TRY(GetTensorMutableData(out->value, &data), "read output");
  out->data = data;
done:
  if (info) api->ReleaseTensorTypeAndShapeInfo(info);
  return result;
}

// A kw_stop is the library's run options under a name that says what they are for here.
int kw_stop_new(kw_runtime *r, kw_stop **stop, char **failure) {
  return check(r->api, r->api->CreateRunOptions((OrtRunOptions **)stop), "run model", failure);
}

void kw_stop_free(kw_runtime *r, kw_stop *stop) { r->api->ReleaseRunOptions((OrtRunOptions *)stop); }

// drop frees a status that cannot be an error: the options are there.
static void drop(const OrtApi *api, OrtStatus *status) {
  if (status) api->ReleaseStatus(status);
}

void kw_stop_now(kw_runtime *r, kw_stop *stop) { drop(r->api, r->api->RunOptionsSetTerminate((OrtRunOptions *)stop)); }

void kw_stop_reset(kw_runtime *r, kw_stop *stop) { drop(r->api, r->api->RunOptionsUnsetTerminate((OrtRunOptions *)stop)); }

int kw_run(kw_session *s, kw_stop *stop, const kw_input *inputs, kw_output *outputs, char **failure) {
  const OrtApi *api = s->runtime->api;
  int result = KW_OK;
  static char nothing[8];  // a tensor without elements still needs an address
  OrtValue **in = calloc(s->n_inputs + 1, sizeof *in);
  OrtValue **out = calloc(s->n_outputs + 1, sizeof *out);
  if (!in || !out) { result = fail(failure, KW_FAILED, "", "out of memory"); goto done; }
  for (size_t i = 0; i < s->n_inputs; i++) {
    const kw_input *x = &inputs[i];
    if (x->type == ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING) {
      result = string_tensor(api, x, &in[i], failure);
      if (result != KW_OK) goto done;
      continue;
    }
    void *data = x->size ? (void *)x->data : nothing;
    TRY(CreateTensorWithDataAsOrtValue(s->runtime->memory, data, x->size, x->dims, (size_t)x->rank, (ONNXTensorElementDataType)x->type, &in[i]), s->input_names[i]);
  }
  TRY(Run(s->session, (OrtRunOptions *)stop, s->input_names, (const OrtValue *const *)in, s->n_inputs, s->output_names, s->n_outputs, out), "");
  for (size_t i = 0; i < s->n_outputs; i++) {
    if (!out[i]) { result = fail(failure, KW_FAILED, s->output_names[i], "the model gave no value for this output"); goto done; }
    outputs[i].value = out[i];
    out[i] = NULL;
    result = read_output(api, &outputs[i], failure);
    if (result != KW_OK) goto done;
  }
done:
  for (size_t i = 0; in && i < s->n_inputs; i++)
    if (in[i]) api->ReleaseValue(in[i]);
  for (size_t i = 0; out && i < s->n_outputs; i++)
    if (out[i]) api->ReleaseValue(out[i]);
  free(in);
  free(out);
  return result;
}

void kw_release(kw_session *s, kw_output *outputs, size_t n) {
  for (size_t i = 0; i < n; i++) {
    if (outputs[i].value) s->runtime->api->ReleaseValue(outputs[i].value);
    free(outputs[i].ends);
    free(outputs[i].owned);
    memset(&outputs[i], 0, sizeof outputs[i]);
  }
}
