// SPDX-License-Identifier: EUPL-1.2
// Ops whose behaviour is a table of C functions.

#include "custom.h"

#include "checked.hpp"

#include <cstring>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "mlx/backend/common/utils.h"
#include "mlx/backend/cpu/encoder.h"
#include "mlx/c/error.h"
#include "mlx/c/private/array.h"
#include "mlx/c/private/enums.h"
#include "mlx/c/private/stream.h"
#include "mlx/c/private/vector.h"
#include "mlx/primitives.h"
#include "mlx/scheduler.h"

namespace {

using namespace mlx::core;

// What an op carries. It outlives the node, which MLX drops before the op has run.
struct State {
  const char* name;
  const mlx_custom_table* table;
  void* state;

  State(const char* name, const mlx_custom_table* table, void* state) : name(name), table(table), state(state) {}
  State(const State&) = delete;
  State& operator=(const State&) = delete;
  ~State() {
    table->release(state);
  }
};

// How one output lies in memory.
struct Layout {
  mlx_custom_layout kind;
  Strides strides;
  size_t input;
  int64_t offset;
};

[[noreturn]] void fail(const char* name, const char* what) {
  throw std::runtime_error(std::string(name) + what);
}

// A vector lent to a callback: it reads it, and must not free it.
mlx_vector_array lend(const std::vector<array>& arrays) {
  return mlx_vector_array{const_cast<std::vector<array>*>(&arrays)};
}

// The slot that a callback fills.
struct Filled {
  mlx_vector_array raw{nullptr};
  Filled() = default;
  Filled(const Filled&) = delete;
  Filled& operator=(const Filled&) = delete;
  ~Filled() {
    mlx_vector_array_free_(raw);
  }
  std::vector<array> take() {
    return std::move(mlx_vector_array_get_(raw));
  }
};

// One run of an op, in one allocation: this, the views, the strides, the shapes.
//
// The buffers are not held here: a count more would keep MLX from letting the next op write into them. MLX gives the
// stream a task of its own after this one, which holds the inputs and the siblings; the outputs are held likewise by
// the task of what they are computed for.
struct Task {
  std::shared_ptr<State> state;
  uint32_t inputs;
  uint32_t outputs;

  mlx_custom_view* views() {
    return reinterpret_cast<mlx_custom_view*>(this + 1);
  }

  static Task* make(std::shared_ptr<State> state, const std::vector<array>& inputs, std::vector<array>& outputs) {
    size_t axes = 0;
    for (auto& a : inputs) {
      axes += a.ndim();
    }
    for (auto& a : outputs) {
      axes += a.ndim();
    }
    const size_t count = inputs.size() + outputs.size();
    static_assert(sizeof(Task) % alignof(mlx_custom_view) == 0 && sizeof(mlx_custom_view) % alignof(int64_t) == 0);
    const size_t bytes =
        sizeof(Task) + count * sizeof(mlx_custom_view) + axes * (sizeof(int64_t) + sizeof(int32_t));
    auto* task = new (::operator new(bytes)) Task{
        std::move(state), static_cast<uint32_t>(inputs.size()), static_cast<uint32_t>(outputs.size())};
    auto* view = task->views();
    auto* strides = reinterpret_cast<int64_t*>(view + count);
    auto* shape = reinterpret_cast<int32_t*>(strides + axes);
    auto add = [&](const array& a) {
      const size_t ndim = a.ndim();
      void* data = a.size() == 0 ? nullptr : const_cast<void*>(static_cast<const void*>(a.data<char>()));
      new (view++) mlx_custom_view{
          data,
          shape,
          strides,
          ndim,
          a.size(),
          static_cast<mlx_dtype>(static_cast<int>(a.dtype().val())),
          a.flags().row_contiguous};
      for (size_t i = 0; i < ndim; i++) {
        *shape++ = a.shape()[i];
        *strides++ = a.strides()[i];
      }
    };
    for (auto& a : inputs) {
      add(a);
    }
    for (auto& a : outputs) {
      add(a);
    }
    return task;
  }

  void run() {
    std::string message;
    const auto& s = *state;
    if (s.table->eval(s.state, views(), inputs, views() + inputs, outputs, &message) != 0) {
      throw std::runtime_error(message.empty() ? std::string(s.name) + " failed" : message);
    }
  }

  static void destroy(Task* task) {
    task->~Task();
    ::operator delete(task);
  }
};

struct Destroy {
  void operator()(Task* task) const {
    Task::destroy(task);
  }
};

class Custom : public Primitive {
 public:
  Custom(Stream stream, std::shared_ptr<State> state, std::vector<Layout> layouts)
      : Primitive(stream), state_(std::move(state)), layouts_(std::move(layouts)) {}

  void eval_cpu(const std::vector<array>& inputs, std::vector<array>& outputs) override {
    for (size_t i = 0; i < outputs.size(); i++) {
      place(outputs[i], layouts_[i], inputs);
    }
    std::unique_ptr<Task, Destroy> task(Task::make(state_, inputs, outputs));
    // Refuses a stream of another thread, before there is a task that nothing holds the buffers for.
    cpu::get_command_encoder(stream());
    // The encoder's `dispatch` may throw after it has given the task away; this gives it away or throws. What it counts
    // is counted for MLX's own task that follows. The task goes as a pointer, because a function object that owns
    // something would be allocated twice more on its way.
    scheduler::enqueue(stream(), [raw = task.get()]() {
      std::unique_ptr<Task, Destroy> owned(raw);
      owned->run();
    });
    task.release();
    checked::started(outputs[0]);
  }

  void eval_gpu(const std::vector<array>&, std::vector<array>&) override {
    fail(name(), " runs on the CPU only");
  }

  std::vector<array> vjp(
      const std::vector<array>& primals,
      const std::vector<array>& cotangents,
      const std::vector<int>& argnums,
      const std::vector<array>& outputs) override {
    if (state_->table->vjp == nullptr) {
      fail(name(), " has no vjp");
    }
    Filled res;
    if (state_->table->vjp(
            state_->state, lend(primals), lend(cotangents), argnums.data(), argnums.size(), lend(outputs), &res.raw) !=
        0) {
      fail(name(), ": the vjp failed");
    }
    auto cotans = res.take();
    if (cotans.size() != argnums.size()) {
      fail(name(), ": the vjp gave another number of arrays than was asked for");
    }
    for (size_t i = 0; i < argnums.size(); i++) {
      if (cotans[i].shape() != primals[argnums[i]].shape()) {
        fail(name(), ": the vjp gave an array of another shape than that of its input");
      }
    }
    return cotans;
  }

  std::vector<array> jvp(
      const std::vector<array>& primals,
      const std::vector<array>& tangents,
      const std::vector<int>& argnums) override {
    if (state_->table->jvp == nullptr) {
      fail(name(), " has no jvp");
    }
    Filled res;
    if (state_->table->jvp(
            state_->state, lend(primals), lend(tangents), argnums.data(), argnums.size(), &res.raw) != 0) {
      fail(name(), ": the jvp failed");
    }
    auto pushed = res.take();
    if (pushed.size() != layouts_.size()) {
      fail(name(), ": the jvp gave another number of arrays than there are outputs");
    }
    return pushed;
  }

  std::pair<std::vector<array>, std::vector<int>> vmap(
      const std::vector<array>& inputs,
      const std::vector<int>& axes) override {
    if (state_->table->vmap == nullptr) {
      fail(name(), " has no vmap");
    }
    Filled res;
    int axis = 0;
    if (state_->table->vmap(state_->state, lend(inputs), axes.data(), axes.size(), &res.raw, &axis) != 0) {
      fail(name(), ": the vmap failed");
    }
    auto mapped = res.take();
    if (mapped.size() != layouts_.size()) {
      fail(name(), ": the vmap gave another number of arrays than there are outputs");
    }
    std::vector<int> mapped_axes(mapped.size(), axis);
    return {std::move(mapped), std::move(mapped_axes)};
  }

  const char* name() const override {
    return state_->name;
  }

  bool is_equivalent(const Primitive& other) const override {
    const auto* custom = dynamic_cast<const Custom*>(&other);
    if (custom == nullptr || state_->table != custom->state_->table || state_->table->is_equivalent == nullptr ||
        layouts_.size() != custom->layouts_.size()) {
      return false;
    }
    for (size_t i = 0; i < layouts_.size(); i++) {
      const auto& a = layouts_[i];
      const auto& b = custom->layouts_[i];
      // Two that write into the same buffer are two, whatever they write.
      if (a.kind == MLX_CUSTOM_ALIAS || a.kind != b.kind || a.strides != b.strides) {
        return false;
      }
    }
    return state_ == custom->state_ || state_->table->is_equivalent(state_->state, custom->state_->state);
  }

  std::vector<Shape> output_shapes(const std::vector<array>& inputs) override {
    for (auto& layout : layouts_) {
      if (layout.kind == MLX_CUSTOM_STRIDED || layout.kind == MLX_CUSTOM_ALIAS) {
        fail(name(), " has a layout that is fixed for its shape");
      }
    }
    if (state_->table->output_shapes == nullptr) {
      fail(name(), " cannot tell its shapes");
    }
    std::vector<Shape> shapes;
    if (state_->table->output_shapes(state_->state, lend(inputs), &shapes) != 0) {
      fail(name(), ": cannot tell its shapes");
    }
    if (shapes.size() != layouts_.size()) {
      fail(name(), ": told another number of shapes than there are outputs");
    }
    return shapes;
  }

 private:
  std::shared_ptr<State> state_;
  std::vector<Layout> layouts_;

  // Gives `out` its memory.
  void place(array& out, const Layout& layout, const std::vector<array>& inputs) {
    if (layout.kind == MLX_CUSTOM_ROW_MAJOR || layout.kind == MLX_CUSTOM_ZEROED) {
      out.set_data(allocate(out.nbytes()));
      if (layout.kind == MLX_CUSTOM_ZEROED && out.nbytes() > 0) {
        std::memset(out.data<char>(), 0, out.nbytes());
      }
      return;
    }
    auto [dense, row, col] = check_contiguity(out.shape(), layout.strides);
    size_t span = out.size() == 0 ? 0 : 1;
    if (span != 0) {
      for (size_t i = 0; i < out.ndim(); i++) {
        span += static_cast<size_t>(layout.strides[i]) * static_cast<size_t>(out.shape()[i] - 1);
      }
    }
    array::Flags flags{dense == span, row, col};
    if (layout.kind == MLX_CUSTOM_STRIDED) {
      out.set_data(allocate(out.nbytes()), span, layout.strides, flags, allocator::free);
    } else {
      const auto& in = inputs[layout.input];
      const size_t offset = static_cast<size_t>(layout.offset);
      if (!in.flags().row_contiguous || in.itemsize() != out.itemsize() || span > in.data_size() ||
          offset > in.data_size() - span) {
        fail(name(), ": the output does not lie within the buffer that it shares");
      }
      out.copy_shared_buffer(in, layout.strides, flags, span, layout.offset);
    }
  }

  // MLX's allocator answers with nothing when there is no memory, which nobody in MLX asks about.
  allocator::Buffer allocate(size_t bytes) {
    auto buffer = allocator::malloc(bytes);
    if (buffer.ptr() == nullptr && bytes > 0) {
      fail(name(), ": out of memory");
    }
    return buffer;
  }
};

} // namespace

extern "C" int mlx_custom_apply(
    mlx_array* outputs,
    const mlx_custom_spec* specs,
    size_t specs_num,
    const mlx_array* inputs,
    size_t inputs_num,
    const char* name,
    const mlx_custom_table* table,
    void* state,
    const mlx_stream s) {
  // Takes the state over before anything can fail.
  struct Owner {
    const mlx_custom_table* table;
    void* state;
    ~Owner() {
      if (state != nullptr) {
        table->release(state);
      }
    }
  } owner{table, state};
  try {
    auto stream = mlx_stream_get_(s);
    if (stream.device != Device::cpu) {
      fail(name, " runs on the CPU only");
    }
    auto shared = std::make_shared<State>(name, table, state);
    owner.state = nullptr;
    std::vector<array> ins;
    ins.reserve(inputs_num);
    for (size_t i = 0; i < inputs_num; i++) {
      ins.push_back(mlx_array_get_(inputs[i]));
    }
    std::vector<Layout> layouts;
    layouts.reserve(specs_num);
    for (size_t i = 0; i < specs_num; i++) {
      const auto& spec = specs[i];
      Layout layout{spec.layout, {}, spec.input, spec.offset};
      if (spec.layout == MLX_CUSTOM_STRIDED || spec.layout == MLX_CUSTOM_ALIAS) {
        layout.strides = Strides(spec.strides, spec.strides + spec.ndim);
      }
      if (spec.layout == MLX_CUSTOM_ALIAS && spec.input >= inputs_num) {
        fail(name, ": an output shares the buffer of an input that is not there");
      }
      layouts.push_back(std::move(layout));
    }
    auto primitive = std::make_shared<Custom>(stream, std::move(shared), std::move(layouts));
    auto shape_of = [](const mlx_custom_spec& spec) { return Shape(spec.shape, spec.shape + spec.ndim); };
    if (specs_num == 1) {
      mlx_array_set_(
          outputs[0],
          array(shape_of(specs[0]), mlx_dtype_to_cpp(specs[0].dtype), std::move(primitive), std::move(ins)));
      return 0;
    }
    std::vector<Shape> shapes;
    std::vector<Dtype> dtypes;
    for (size_t i = 0; i < specs_num; i++) {
      shapes.push_back(shape_of(specs[i]));
      dtypes.push_back(mlx_dtype_to_cpp(specs[i].dtype));
    }
    auto made = array::make_arrays(std::move(shapes), dtypes, primitive, ins);
    for (size_t i = 0; i < specs_num; i++) {
      mlx_array_set_(outputs[i], std::move(made[i]));
    }
    return 0;
  } catch (const std::exception& e) {
    mlx_error("%s", e.what());
    return 1;
  }
}

namespace {

// Whether a buffer is a pointer to host memory behind a word with its length, as MLX's CPU allocator has it.
bool has_length_in_front() {
  static const bool known = [] {
    auto buffer = allocator::malloc(64);
    if (buffer.ptr() == nullptr) {
      return false;
    }
    const bool in_front = static_cast<char*>(buffer.raw_ptr()) == static_cast<char*>(buffer.ptr()) + sizeof(size_t);
    allocator::free(buffer);
    return in_front;
  }();
  return known;
}

} // namespace

extern "C" int mlx_custom_lend(
    mlx_array* res,
    void* data,
    const int32_t* shape,
    size_t ndim,
    mlx_dtype dtype,
    void* payload,
    void (*release)(void* payload)) {
  try {
    if (!has_length_in_front()) {
      throw std::runtime_error("arrays are not in plain host memory here");
    }
    allocator::Buffer buffer(static_cast<char*>(data) - sizeof(size_t));
    mlx_array_set_(
        *res, array(buffer, Shape(shape, shape + ndim), mlx_dtype_to_cpp(dtype), [payload, release](allocator::Buffer) {
          release(payload);
        }));
    return 0;
  } catch (const std::exception& e) {
    mlx_error("%s", e.what());
    return 1;
  }
}

extern "C" int mlx_custom_give(
    mlx_array* res,
    void* data,
    const int32_t* shape,
    size_t ndim,
    mlx_dtype dtype,
    void* payload,
    void (*release)(void* payload)) {
  try {
    if (!has_length_in_front()) {
      throw std::runtime_error("arrays are not in plain host memory here");
    }
    array out(Shape(shape, shape + ndim), mlx_dtype_to_cpp(dtype), nullptr, {});
    auto strides = out.strides();
    auto [dense, row, col] = check_contiguity(out.shape(), strides);
    array::Flags flags{dense == out.size(), row, col};
    // MLX takes the word that a buffer begins with for its length, and what follows for its data. Here that word is the
    // first of the data, and the array begins so many bytes before where MLX sees data. The length is asked for only
    // when an op looks whether a buffer is too large to be kept for a small result: what it finds decides between two
    // right ways.
    out.set_data(
        allocator::Buffer(data),
        out.size(),
        std::move(strides),
        flags,
        -static_cast<int64_t>(sizeof(size_t)),
        [payload, release](allocator::Buffer) { release(payload); });
    out.set_status(array::Status::available);
    mlx_array_set_(*res, std::move(out));
    return 0;
  } catch (const std::exception& e) {
    mlx_error("%s", e.what());
    return 1;
  }
}

extern "C" void mlx_custom_message(void* sink, const char* text, size_t len) {
  try {
    static_cast<std::string*>(sink)->assign(text, len);
  } catch (const std::exception&) {
    // No memory for the text: the failure is told without it.
  }
}

extern "C" int mlx_custom_shape(void* sink, const int32_t* shape, size_t ndim) {
  try {
    static_cast<std::vector<Shape>*>(sink)->push_back(Shape(shape, shape + ndim));
    return 0;
  } catch (const std::exception&) {
    return 1;
  }
}
