// What Go needs of ONNX Runtime's C API, in few calls: one to open the library,
// one to load a model, one to describe it, one to run it.
#ifndef KIWERK_ORT_SHIM_H
#define KIWERK_ORT_SHIM_H

#include <stddef.h>
#include <stdint.h>

#define KW_MAX_RANK 32

typedef struct kw_runtime kw_runtime;
typedef struct kw_session kw_session;
typedef struct kw_stop kw_stop;

// Kinds of failure. The text of a failure is allocated; the caller frees it.
enum { KW_OK = 0, KW_INVALID_ARGUMENT = 1, KW_FAILED = 2 };

// What a model says about an input or output. A dimension is -1 when open.
typedef struct {
  const char *name;  // lives as long as the session
  int32_t is_tensor;
  int32_t type;  // ONNXTensorElementDataType
  int32_t rank;
  int64_t dims[KW_MAX_RANK];
} kw_spec;

// A tensor on its way in. data and dims are only read, during kw_run.
// For strings, data are all bytes one after the other and ends[i] is where element i ends.
typedef struct {
  int32_t type;
  int32_t rank;
  const int64_t *dims;
  const void *data;
  size_t size;  // bytes
  const uint64_t *ends;
  size_t count;  // elements
} kw_input;

// A tensor on its way out. It lives until kw_release. For strings, data and
// ends are as in kw_input and belong to the output.
typedef struct {
  void *value;
  int32_t type;
  int32_t rank;
  int64_t dims[KW_MAX_RANK];
  const void *data;
  size_t count;  // elements
  uint64_t *ends;
  void *owned;  // string bytes to free
} kw_output;

int kw_open(const char *library, kw_runtime **runtime, char **failure);
int kw_load(kw_runtime *runtime, const char *model, int threads, kw_session **session, char **failure);
void kw_unload(kw_session *session);
size_t kw_inputs(const kw_session *session);
size_t kw_outputs(const kw_session *session);
const kw_spec *kw_input_spec(const kw_session *session, size_t i);
const kw_spec *kw_output_spec(const kw_session *session, size_t i);
// A kw_stop ends the run that it was given to, from another thread, until it is reset.
int kw_stop_new(kw_runtime *runtime, kw_stop **stop, char **failure);
void kw_stop_free(kw_runtime *runtime, kw_stop *stop);
void kw_stop_now(kw_runtime *runtime, kw_stop *stop);
void kw_stop_reset(kw_runtime *runtime, kw_stop *stop);
// outputs must have room for kw_outputs() elements and be zeroed.
int kw_run(kw_session *session, kw_stop *stop, const kw_input *inputs, kw_output *outputs, char **failure);
void kw_release(kw_session *session, kw_output *outputs, size_t n);

#endif
