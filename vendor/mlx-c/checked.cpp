// SPDX-License-Identifier: EUPL-1.2
// Evaluation that does not forget failures.
//
// A task that throws on a CPU stream leaves its text in the stream, from where the next wait takes it: the text is told
// once, to whoever waits first. The arrays that the task was to fill are computed as far as MLX knows, and so are those
// that were computed from them, so a second read gives what happens to lie in their buffers.
//
// All arrays that one asynchronous evaluation computes on one stream share an event, until somebody has waited for
// them. This file keeps the events of the thread's work that nobody has waited for yet. When a wait or a start fails, all of
// these are spoilt, and what carries a spoilt event is refused from then on. That is more than failed, if work was submitted
// several times without a wait between; it is never less.

#include "checked.h"
#include "checked.hpp"

#include <algorithm>
#include <cstdlib>
#include <exception>
#include <future>
#include <memory>
#include <mutex>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#if defined(__linux__) || defined(__APPLE__)
#include <pthread.h>
#endif

#include "mlx/c/error.h"
#include "mlx/c/private/array.h"
#include "mlx/c/private/stream.h"
#include "mlx/c/private/vector.h"
#include "mlx/allocator.h"
#include "mlx/primitives.h"
#include "mlx/scheduler.h"
#include "mlx/transforms.h"

namespace {

using namespace mlx::core;

// A thread that only submits and never waits shall not grow without bound, nor one in which everything fails.
constexpr size_t MOST_PENDING = 4096;
constexpr size_t MOST_SPOILT = 1024;

struct Spoilt {
  Event event;
  std::shared_ptr<const std::string> why;
};

// This thread is being taken down: what is kept for it is gone, and its streams may be another thread's by now. Has no
// destructor, so it can be asked to the end.
thread_local bool ended = false;

struct Ledger {
  std::vector<Event> pending;
  std::vector<Spoilt> spoilt;

  ~Ledger() {
    ended = true;
  }
};

thread_local Ledger ledger;

// Two events are the same if they share their state. A copy of one keeps the address from being given to another.
const void* state_of(const Event& event) {
  return &event.cast<char>();
}

bool is_started(const array& a) {
  return a.status() != array::Status::unscheduled;
}

void record(const Event& event) {
  auto& pending = ledger.pending;
  if (!event.valid() || (!pending.empty() && state_of(pending.back()) == state_of(event))) {
    return;
  }
  if (pending.size() >= MOST_PENDING) {
    pending.erase(pending.begin(), pending.begin() + MOST_PENDING / 2);
  }
  pending.push_back(event);
}

// `event` was waited for, and there was no failure: so it is with what the same stream was given before.
void acknowledge(const Event& event) {
  auto& pending = ledger.pending;
  if (!event.valid() || pending.empty()) {
    return;
  }
  auto last = std::find_if(
      pending.rbegin(), pending.rend(), [&](const Event& e) { return state_of(e) == state_of(event); });
  auto end = last.base();
  pending.erase(
      std::remove_if(pending.begin(), end, [&](const Event& e) { return e.stream() == event.stream(); }), end);
}

// Waits for what the stream was given. Arrays that the caller drops next may be in use there, where an evaluation was
// broken off; and what is left of a failure must not be told to work that comes later.
void drain(Stream s) {
  for (int i = 0; i < 3; i++) {
    try {
      synchronize(s);
      return;
    } catch (const std::exception&) {
      // On the main thread the text comes before the wait, so there is another one.
    }
  }
}

// MLX counts the tasks that are under way, and holds an evaluation up while there are more than some. A task behind one
// that failed is never counted off, so after as many failures nothing would be computed ever again. Here all streams of
// this thread are idle. What other threads have under way is forgotten too, and makes the count negative when it is
// done; `start` puts that right. In between an evaluation is held up less than it might be.
void forget_lost_tasks() {
  const Stream any(0, Device::cpu);
  for (int n = scheduler::n_active_tasks(); n > 0; n--) {
    scheduler::notify_task_completion(any);
  }
}

// A call failed, for work that it was given or for any that was given before: a stream tells what failed to whoever comes
// next, and one text hides another. So all is spoilt that nobody has waited for.
void settle(const std::vector<array>& outputs, const char* what) {
  for (auto& out : outputs) {
    if (is_started(out)) {
      record(out.event());
    }
  }
  std::vector<Stream> streams;
  auto add = [&](const Stream& s) {
    if (s.device == Device::cpu && std::find(streams.begin(), streams.end(), s) == streams.end()) {
      streams.push_back(s);
    }
  };
  for (auto& event : ledger.pending) {
    add(event.stream());
  }
  for (auto& out : outputs) {
    if (out.has_primitive()) {
      add(out.primitive().stream());
    }
  }
  for (auto& s : streams) {
    drain(s);
  }
  forget_lost_tasks();
  auto why = std::make_shared<const std::string>(what);
  for (auto& event : ledger.pending) {
    ledger.spoilt.push_back({std::move(event), why});
  }
  ledger.pending.clear();
  if (ledger.spoilt.size() > MOST_SPOILT) {
    ledger.spoilt.erase(ledger.spoilt.begin(), ledger.spoilt.end() - MOST_SPOILT);
  }
}

void refuse_at_the_end() {
  if (ended) {
    throw std::runtime_error("nothing can be computed on a thread that is ending");
  }
}

// Throws if one of the arrays, or what one is to be computed from, is spoilt.
void refuse(const std::vector<array>& arrays) {
  refuse_at_the_end();
  if (ledger.spoilt.empty()) {
    return;
  }
  std::vector<const array*> rest;
  std::unordered_set<std::uintptr_t> known;
  auto visit = [&](const std::vector<array>& more) {
    for (auto& a : more) {
      if (known.insert(a.id()).second) {
        rest.push_back(&a);
      }
    }
  };
  visit(arrays);
  while (!rest.empty()) {
    const auto& a = *rest.back();
    rest.pop_back();
    if (a.event().valid()) {
      for (auto& spoilt : ledger.spoilt) {
        if (state_of(spoilt.event) == state_of(a.event())) {
          throw std::runtime_error("failed before: " + *spoilt.why);
        }
      }
    }
    visit(a.inputs());
  }
}

void start(const std::vector<array>& arrays) {
  for (int n = scheduler::n_active_tasks(); n < 0; n++) {
    scheduler::notify_new_task(Stream(0, Device::cpu));
  }
  try {
    async_eval(arrays);
  } catch (const std::exception& e) {
    settle(arrays, e.what());
    throw;
  }
  for (auto& a : arrays) {
    record(a.event());
  }
}

void wait(array& a) {
  const Event event = a.event();
  try {
    a.wait();
  } catch (const std::exception& e) {
    settle({a}, e.what());
    throw;
  }
  acknowledge(event);
}

// What an evaluation of `arrays` would compute.
std::vector<array> unstarted(const std::vector<array>& arrays) {
  std::vector<array> found;
  std::unordered_set<std::uintptr_t> known;
  auto visit = [&](const std::vector<array>& more) {
    for (auto& a : more) {
      if (!is_started(a) && known.insert(a.id()).second) {
        found.push_back(a);
      }
    }
  };
  visit(arrays);
  for (size_t i = 0; i < found.size(); i++) {
    const auto a = found[i];
    visit(a.siblings());
    visit(a.inputs());
  }
  return found;
}

void eval_all(std::vector<array> arrays, bool tracing) {
  refuse(arrays);
  if (tracing) {
    // MLX does not start work without a wait here, and without it arrays get no event. What is not part of the
    // transformation cannot be computed again, and says so from then on; the rest will be, and fail again.
    const auto all = unstarted(arrays);
    try {
      eval(std::move(arrays));
    } catch (const std::exception&) {
      for (auto& a : all) {
        a.set_status(array::Status::unscheduled);
      }
      throw;
    }
    return;
  }
  // MLX's own `eval` gives no event to the arrays.
  const size_t before = ledger.pending.size();
  start(arrays);
  for (auto& a : arrays) {
    wait(a);
  }
  // Whatever was started in this call is done.
  ledger.pending.resize(std::min(before, ledger.pending.size()));
}

void eval_one(array& a, bool tracing) {
  if (!is_started(a)) {
    eval_all({a}, tracing);
    return;
  }
  refuse({a});
  wait(a);
}

template <typename F>
int told(F&& f) {
  try {
    f();
    return 0;
  } catch (const std::exception& e) {
    mlx_error("%s", e.what());
    return 1;
  }
}

} // namespace

void checked::started(const array& out) {
  record(out.event());
}

// Streams for threads that come and go.
//
// A stream of the processor gets a thread of the operating system with the first work that it is given, and keeps it as
// long as the process lives. A thread that made its own would leave one behind; so it borrows one, and gives it back.
//
// MLX lets any thread use a stream of the kind made here, one at a time, and finds them in a table that it reads without
// a lock. Nothing is added to that table once the first stream was lent, so all are made at once; one that was never
// lent has cost some bytes.

namespace {

constexpr size_t LENDABLE = 1024;

struct Lending {
  std::mutex mutex;
  std::vector<Stream> fresh; // the next one last
  std::vector<Stream> used;
};

// Lives as long as the process, since threads may end after everything else.
Lending& lending() {
  static Lending* all = [] {
    auto made = std::make_unique<Lending>();
    for (size_t i = 0; i < LENDABLE; i++) {
      made->fresh.push_back(new_thread_unsafe_stream(Device::cpu));
    }
    std::reverse(made->fresh.begin(), made->fresh.end());
    made->used.reserve(LENDABLE);
    return made.release();
  }();
  return *all;
}

// Whether the stream was never lent, so that it has no thread. `fresh` is ordered.
bool is_fresh(const Stream& s) {
  auto& all = lending();
  std::lock_guard lock(all.mutex);
  return !all.fresh.empty() && s.index >= all.fresh.back().index && s.index <= all.fresh.front().index;
}

// The stream, and whether it is to be given back.
std::pair<Stream, bool> borrow() {
  auto& all = lending();
  std::unique_lock lock(all.mutex);
  if (!all.used.empty()) {
    const auto s = all.used.back();
    all.used.pop_back();
    lock.unlock();
    // The thread that had it may have left work behind, and failures.
    drain(s);
    forget_lost_tasks();
    return {s, true};
  }
  if (!all.fresh.empty()) {
    const auto s = all.fresh.back();
    all.fresh.pop_back();
    return {s, true};
  }
  lock.unlock();
  return {new_stream(Device::cpu), false};
}

} // namespace

extern "C" int mlx_checked_borrow_stream(mlx_stream* res, bool* lent) {
  return told([&] {
    refuse_at_the_end();
    const auto [stream, owed] = borrow();
    mlx_stream_set_(*res, stream);
    *lent = owed;
  });
}

extern "C" int mlx_checked_return_streams(const int* indices, size_t num) {
  return told([&] {
    ended = true;
    auto& all = lending();
    std::lock_guard lock(all.mutex);
    for (size_t i = 0; i < num; i++) {
      all.used.emplace_back(indices[i], Device::cpu);
    }
  });
}

namespace {

// Work may still be queued when the process ends, such as a token that was computed ahead and is wanted by nobody. MLX
// takes its allocator down while the threads of its streams go on, so they are waited for before that. What is
// registered last runs first: MLX's own objects are made by the first evaluation at the latest.
void wait_at_exit() {
  static const bool registered = [] {
    allocator::allocator();
    scheduler::scheduler();
    return std::atexit([] {
             for (auto& s : get_streams()) {
               if (s.device != Device::cpu || is_fresh(s)) {
                 continue;
               }
               try {
                 std::promise<void> reached;
                 auto wait = reached.get_future();
                 scheduler::enqueue(s, [&reached] { reached.set_value(); });
                 wait.wait();
               } catch (const std::exception&) {
                 // A stream without a thread has nothing to wait for.
               }
             }
           }) == 0;
  }();
  (void)registered;
}

} // namespace

extern "C" int mlx_checked_eval(const mlx_vector_array outputs, bool tracing) {
  wait_at_exit();
  return told([&] { eval_all(mlx_vector_array_get_(outputs), tracing); });
}

extern "C" int mlx_checked_async_eval(const mlx_vector_array outputs) {
  wait_at_exit();
  return told([&] {
    const auto& arrays = mlx_vector_array_get_(outputs);
    refuse(arrays);
    start(arrays);
  });
}

extern "C" int mlx_checked_array_eval(mlx_array arr, bool tracing) {
  wait_at_exit();
  return told([&] { eval_one(mlx_array_get_(arr), tracing); });
}

extern "C" int mlx_checked_array_is_available(bool* res, const mlx_array arr) {
  return told([&] {
    auto& a = mlx_array_get_(arr);
    refuse({a});
    const Event event = a.event();
    try {
      *res = a.is_available();
    } catch (const std::exception& e) {
      settle({a}, e.what());
      throw;
    }
    if (*res) {
      acknowledge(event);
    }
  });
}

extern "C" int mlx_checked_synchronize(const mlx_stream s) {
  return told([&] {
    refuse_at_the_end();
    const auto stream = mlx_stream_get_(s);
    try {
      synchronize(stream);
    } catch (const std::exception& e) {
      settle({}, e.what());
      throw;
    }
    auto& pending = ledger.pending;
    pending.erase(
        std::remove_if(pending.begin(), pending.end(), [&](const Event& e) { return e.stream() == stream; }),
        pending.end());
  });
}

namespace {

// What calls at the end of a walk need.
constexpr size_t RESERVE = 128 * 1024;
// Where the system does not tell.
constexpr size_t SMALL_STACK = 512 * 1024;

// Bytes of this thread's stack that are free.
size_t stack_left() {
  const char here = 0;
  const auto now = reinterpret_cast<std::uintptr_t>(&here);
#if defined(__linux__)
  // Asking costs a few microseconds, and on the main thread it reads a file.
  thread_local const std::uintptr_t lowest = [] {
    pthread_attr_t attributes;
    std::uintptr_t found = 0;
    if (pthread_getattr_np(pthread_self(), &attributes) == 0) {
      void* base = nullptr;
      size_t size = 0;
      if (pthread_attr_getstack(&attributes, &base, &size) == 0) {
        found = reinterpret_cast<std::uintptr_t>(base);
      }
      pthread_attr_destroy(&attributes);
    }
    return found;
  }();
#elif defined(__APPLE__)
  thread_local const std::uintptr_t lowest = reinterpret_cast<std::uintptr_t>(pthread_get_stackaddr_np(pthread_self())) -
      pthread_get_stacksize_np(pthread_self());
#else
  const std::uintptr_t lowest = 0;
#endif
  return lowest == 0 || lowest > now ? SMALL_STACK : now - lowest;
}

// How deep a walk gets that visits each array once, inputs before the arrays that need them.
size_t depth_of(const std::vector<array>& outputs) {
  std::unordered_set<std::uintptr_t> known;
  std::vector<std::pair<const array*, size_t>> path;
  size_t deepest = 0;
  for (auto& output : outputs) {
    if (!known.insert(output.id()).second) {
      continue;
    }
    path.push_back({&output, 0});
    while (!path.empty()) {
      deepest = std::max(deepest, path.size());
      auto& [a, next] = path.back();
      if (next == a->inputs().size()) {
        path.pop_back();
        continue;
      }
      const auto& input = a->inputs()[next++];
      if (known.insert(input.id()).second) {
        path.push_back({&input, 0});
      }
    }
  }
  return deepest;
}

} // namespace

extern "C" int mlx_checked_depth(const mlx_vector_array outputs, size_t frame) {
  return told([&] {
    const auto depth = depth_of(mlx_vector_array_get_(outputs));
    const auto left = stack_left();
    const auto most = left > RESERVE ? (left - RESERVE) / std::max<size_t>(frame, 1) : 0;
    if (depth > most) {
      throw std::runtime_error(
          "the graph is " + std::to_string(depth) + " ops deep, and this thread's stack has room for " +
          std::to_string(most) + ": evaluate parts of it, or use a thread with a larger stack");
    }
  });
}

extern "C" int mlx_checked_fill_empty(const mlx_vector_array outputs) {
  return told([&] {
    std::unordered_set<std::uintptr_t> known;
    std::vector<array> rest;
    auto visit = [&](std::vector<array>& more) {
      for (auto& a : more) {
        if (a.size() == 0 && a.has_primitive()) {
          a = array(static_cast<const bool*>(nullptr), a.shape(), a.dtype());
        } else if (known.insert(a.id()).second) {
          rest.push_back(a);
        }
      }
    };
    visit(mlx_vector_array_get_(outputs));
    while (!rest.empty()) {
      auto a = rest.back();
      rest.pop_back();
      visit(a.inputs());
      for (auto& sibling : a.siblings()) {
        if (known.insert(sibling.id()).second) {
          rest.push_back(sibling);
        }
      }
    }
  });
}

extern "C" int mlx_checked_rehome(
    const mlx_vector_array outputs,
    const mlx_vector_array inputs,
    const mlx_stream s) {
  return told([&] {
    const auto stream = mlx_stream_get_(s);
    std::unordered_set<std::uintptr_t> known;
    for (auto& input : mlx_vector_array_get_(inputs)) {
      known.insert(input.id());
    }
    std::vector<array> rest;
    auto visit = [&](const std::vector<array>& more) {
      for (auto& a : more) {
        if (known.insert(a.id()).second) {
          rest.push_back(a);
        }
      }
    };
    visit(mlx_vector_array_get_(outputs));
    while (!rest.empty()) {
      const auto a = rest.back();
      rest.pop_back();
      if (!a.has_primitive()) {
        continue;
      }
      // The stream of a primitive is set when it is made, and no object is made constant.
      auto& home = const_cast<Stream&>(a.primitive().stream());
      if (home.index == 0 && home.device == stream.device) {
        home = stream;
      }
      visit(a.siblings());
      visit(a.inputs());
    }
  });
}
