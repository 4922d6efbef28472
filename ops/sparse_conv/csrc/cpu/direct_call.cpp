// Prepared layers called from Python without torch's dispatcher. On cold caches, as in a network, the way through the
// dispatcher costs nearly a tenth of a millisecond; tensors' addresses and shapes come by DLPack's exchange interface
// instead (docs/ops.md). Whatever has to see operators (modes, gradients, a profiler) is asked first.
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <torch/csrc/inductor/aoti_torch/c/shim.h>

#include <cstdint>
#include <cstring>
#include <exception>
#include <new>

#include "conv.h"

namespace {

using namespace vosplug;

// The part of DLPack 1 that is used here (dlpack.h, "C Exchange API").
struct DLTensor {
  void* data;
  int32_t device_type, device_id;
  int32_t ndim;
  uint8_t code, bits;
  uint16_t lanes;
  int64_t *shape, *strides;
  uint64_t byte_offset;
};
struct DLPackExchangeAPI {
  uint32_t major, minor;
  DLPackExchangeAPI* older;
  void *allocate, *managed_from_object, *object_from_managed;
  int (*tensor_from_object)(void* object, DLTensor* out);  // borrows; optional
  void* current_stream;
};
constexpr int32_t ON_CPU = 1;

const DLPackExchangeAPI* exchange;
PyObject* tensor_type;
PyObject* watchers;  // tuple of functions: where one returns something true, operators have to be seen

ScalarType type_of(const DLTensor& t) {
  if (t.lanes != 1) return ScalarType::Undefined;
  switch (t.code << 8 | t.bits) {
    case 2 << 8 | 32: return ScalarType::Float;
    case 2 << 8 | 16: return ScalarType::Half;
    case 4 << 8 | 16: return ScalarType::BFloat16;
    case 1 << 8 | 8: return ScalarType::Byte;
    case 0 << 8 | 32: return ScalarType::Int;
    case 0 << 8 | 64: return ScalarType::Long;
    default: return ScalarType::Undefined;
  }
}

// A plain CPU tensor, or None. False: something else, without an exception.
bool view(PyObject* object, View& v) {
  if (object == Py_None) return true;
  if ((PyObject*)Py_TYPE(object) != tensor_type) return false;
  DLTensor t;
  if (exchange->tensor_from_object(object, &t) != 0) {
    PyErr_Clear();
    return false;
  }
  if (t.device_type != ON_CPU || !t.strides) return false;
  v = View((char*)t.data + t.byte_offset, type_of(t), t.ndim, t.shape, t.strides);
  return true;
}

bool watched() {
  if (aoti_torch_grad_mode_is_enabled()) return true;
  const Py_ssize_t n = PyTuple_Size(watchers);
  for (Py_ssize_t i = 0; i < n; ++i) {
    PyObject* answer = PyObject_CallNoArgs(PyTuple_GetItem(watchers, i));
    if (!answer) PyErr_Clear();
    const bool yes = !answer || PyObject_IsTrue(answer) != 0;
    Py_XDECREF(answer);
    if (yes) return true;
  }
  return false;
}

// Run without Python's lock; True, or RuntimeError with what was wrong.
template <class Work>
PyObject* carry_out(const Work& work) {
  char problem[512] = "";
  Py_BEGIN_ALLOW_THREADS;
  try {
    work();
  } catch (const std::exception& error) {
    std::strncpy(problem, *error.what() ? error.what() : "unknown problem", sizeof(problem) - 1);
  }
  Py_END_ALLOW_THREADS;
  if (!*problem) Py_RETURN_TRUE;
  PyErr_SetString(PyExc_RuntimeError, problem);
  return nullptr;
}

// A layer as Python hands it in: its packed tensors, which are kept alive.
struct Layer {
  static constexpr const char* NAME = "vosplug.Layer";
  static constexpr int TENSORS = 5;  // weight, winograd, bias, skipped, plan
  Weights weights;
  View skipped, plan;
  ScalarType type = ScalarType::Undefined;  // of its inputs
  bool skips_to_zero = false;
  PyObject* kept[TENSORS] = {};

  bool takes(const View& x, const View& out) const {
    const Plan p(plan);
    return x.type == type && x.dim == 4 && out.dim == 4 && x.size[1] == p[Plan::C_IN] && out.size[1] == p[Plan::C_OUT];
  }

  static void release(PyObject* capsule) { drop((Layer*)PyCapsule_GetPointer(capsule, NAME)); }
  static void drop(Layer* layer) {
    for (PyObject* tensor : layer->kept) Py_XDECREF(tensor);
    delete layer;
  }
};

// layer(example of the input's type, weight, winograd, bias, skipped, plan, skips_to_zero) -> capsule, or None
PyObject* layer(PyObject*, PyObject* args) {
  PyObject *example, *given[Layer::TENSORS];
  int skips_to_zero;
  if (!PyArg_ParseTuple(args, "OOOOOOp", &example, &given[0], &given[1], &given[2], &given[3], &given[4], &skips_to_zero))
    return nullptr;
  Layer* made = new (std::nothrow) Layer;
  if (!made) return PyErr_NoMemory();
  View like, *views[] = {&made->weights.direct, &made->weights.winograd, &made->weights.bias, &made->skipped, &made->plan};
  bool fine = view(example, like);
  for (int i = 0; i < Layer::TENSORS; ++i) fine = fine && view(given[i], *views[i]);
  if (!fine) {
    delete made;
    Py_RETURN_NONE;
  }
  made->type = like.type, made->skips_to_zero = skips_to_zero;
  for (int i = 0; i < Layer::TENSORS; ++i) Py_INCREF(made->kept[i] = given[i]);
  PyObject* capsule = PyCapsule_New(made, Layer::NAME, Layer::release);
  if (!capsule) Layer::drop(made);
  return capsule;
}

bool lists_of(PyObject* const* args, SiteLists& lists) {
  return view(args[0], lists.policy) && view(args[1], lists.sites) && view(args[2], lists.tiles) && view(args[3], lists.bits);
}

// update(layer, x, out, shortcut, policy, sites, tiles, bits) -> whether it was done: else it has to go the long way.
PyObject* update(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 8) return PyErr_Format(PyExc_TypeError, "update: expected 8 arguments, got %zd", n);
  const Layer* layer = (const Layer*)PyCapsule_GetPointer(args[0], Layer::NAME);
  if (!layer) return nullptr;
  SiteLists lists;
  ConvCall call;
  if (watched() || !view(args[1], call.x) || !view(args[2], call.out) || !view(args[3], call.residual) ||
      !lists_of(args + 4, lists) || !layer->takes(call.x, call.out))
    Py_RETURN_FALSE;
  if (call.residual || !layer->skips_to_zero) call.skipped = layer->skipped;
  return carry_out([&] { sparse_conv2d(layer->weights, Plan(layer->plan), lists, call); });
}

// bottleneck(three layers, x, hidden, out, policy, sites, tiles, bits) -> whether it was done
PyObject* bottleneck(PyObject*, PyObject* const* args, Py_ssize_t n) {
  if (n != 10) return PyErr_Format(PyExc_TypeError, "bottleneck: expected 10 arguments, got %zd", n);
  const Layer* layers[3];
  for (int i = 0; i < 3; ++i)
    if (!(layers[i] = (const Layer*)PyCapsule_GetPointer(args[i], Layer::NAME))) return nullptr;
  SiteLists lists;
  View x, hidden, out;
  if (watched() || !view(args[3], x) || !view(args[4], hidden) || !view(args[5], out) || !lists_of(args + 6, lists) ||
      !layers[0]->takes(x, hidden) || !layers[2]->takes(hidden, out))
    Py_RETURN_FALSE;
  const Weights weights[] = {layers[0]->weights, layers[1]->weights, layers[2]->weights};
  return carry_out([&] { sparse_bottleneck(weights, lists, x, hidden, out, 0); });
}

// connect(capsule of DLPack's exchange interface, torch.Tensor, watchers) -> whether this torch can be called directly
PyObject* connect(PyObject*, PyObject* args) {
  PyObject *capsule, *type, *functions;
  if (!PyArg_ParseTuple(args, "OOO!", &capsule, &type, &PyTuple_Type, &functions)) return nullptr;
  const auto* found = (const DLPackExchangeAPI*)PyCapsule_GetPointer(capsule, "dlpack_exchange_api");
  if (!found) return nullptr;
  while (found && found->major != 1) found = found->older;
  if (!found || !found->tensor_from_object) Py_RETURN_FALSE;
  Py_INCREF(type), Py_INCREF(functions);
  Py_XDECREF(tensor_type), Py_XDECREF(watchers);
  exchange = found, tensor_type = type, watchers = functions;
  Py_RETURN_TRUE;
}

PyMethodDef methods[] = {
    {"connect", connect, METH_VARARGS, nullptr},
    {"layer", layer, METH_VARARGS, nullptr},
    {"update", (PyCFunction)(void (*)())update, METH_FASTCALL, nullptr},
    {"bottleneck", (PyCFunction)(void (*)())bottleneck, METH_FASTCALL, nullptr},
    {nullptr, nullptr, 0, nullptr},
};
PyModuleDef module = {PyModuleDef_HEAD_INIT, "_C", nullptr, -1, methods, nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit__C() { return PyModule_Create(&module); }
