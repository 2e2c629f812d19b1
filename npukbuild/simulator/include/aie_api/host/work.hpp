// The simulator's second hand: a queue of copies and kernel calls that one thread does in the order given.
// Included once per library, by support.hpp; written without the C++ library, so that nothing is linked.
#pragma once

#include <sched.h>
#include <stdint.h>
#include <time.h>
#include <unistd.h>
#if defined(__linux__)
#include <linux/futex.h>
#include <sys/syscall.h>
#endif

namespace npuk::work {

constexpr uint64_t slots = 2048;
constexpr uint64_t batch = 16;  // jobs for which a sleeping worker is woken; who waits wakes it for fewer
constexpr int spins = 1500;     // some tens of microseconds: as long as waking a sleeping thread takes

// All layouts here are shared with npukbuild/simulator/work.py, in 64-bit words.
struct job {
    uint64_t kind;  // 0 copy, 1 call
    const job *next;
};

struct dimension {
    int64_t count, to, from;  // steps in bytes
};

// A walk in runs of bytes. A base, when there is one, is where the address of a host argument stands: the
// argument may be another one in the next call.
struct copy : job {
    char *to;
    char *const *to_base;
    const char *from;
    char *const *from_base;
    int64_t run, rank;
    dimension dims[];
};

struct call : job {
    uint64_t (*entry)(void *, void *, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t);
    void *function, *state;
    uint64_t arguments[6];
    uint64_t guards, guard_bytes, guard_word;
    const uint64_t *guard[];  // places of `guard_bytes` bytes that the function must leave alone
};

// What each side writes has a cache line of its own.
struct queue {
    alignas(64) uint64_t given;  // the giver's: jobs given
    uint64_t known;              // and how many of them it knows to be done
    alignas(64) uint64_t done;          // the worker's: jobs done
    const job *running;
    alignas(64) const job *failed;  // seldom written: the first that wrote on a guard; none is done after it
    uint32_t stop, asleep, bell, awaited, answer;
    alignas(64) const job *slot[slots];
};

template <class T>
inline T load(const T &from) {
    return __atomic_load_n(&from, __ATOMIC_SEQ_CST);
}

template <class T>
inline void store(T &to, T value) {
    __atomic_store_n(&to, value, __ATOMIC_SEQ_CST);
}

inline void relax() {
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    asm volatile("yield");
#endif
}

// Sleep while `word` is `seen`, at most `milliseconds` when that is not negative.
inline void sleep_on(uint32_t &word, uint32_t seen, int64_t milliseconds) {
#if defined(__linux__)
    timespec limit{milliseconds / 1000, milliseconds % 1000 * 1000000};
    syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, seen, milliseconds < 0 ? nullptr : &limit, nullptr, 0);
#else
    if (load(word) == seen) usleep(50);
#endif
}

inline void ring(uint32_t &word) {
    __atomic_add_fetch(&word, 1, __ATOMIC_SEQ_CST);
#if defined(__linux__)
    syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, nullptr, nullptr, 0);
#endif
}

template <int64_t Run>
inline void rows(char *to, const char *from, const dimension &d) {
    for (int64_t i = 0; i < d.count; ++i) __builtin_memcpy(to + i * d.to, from + i * d.from, Run);
}

inline void walk(char *to, const char *from, const dimension *d, int64_t rank, int64_t run) {
    if (rank == 0) {
        __builtin_memcpy(to, from, run);
    } else if (rank > 1) {
        for (int64_t i = 0; i < d->count; ++i) walk(to + i * d->to, from + i * d->from, d + 1, rank - 1, run);
    } else {
        switch (run) {
            case 4: return rows<4>(to, from, *d);
            case 8: return rows<8>(to, from, *d);
            case 16: return rows<16>(to, from, *d);
            case 32: return rows<32>(to, from, *d);
            case 64: return rows<64>(to, from, *d);
            case 128: return rows<128>(to, from, *d);
            default:
                for (int64_t i = 0; i < d->count; ++i) __builtin_memcpy(to + i * d->to, from + i * d->from, run);
        }
    }
}

inline bool execute(const job *j) {
    if (j->kind == 0) {
        const copy &c = *static_cast<const copy *>(j);
        walk(c.to + (c.to_base ? reinterpret_cast<intptr_t>(*c.to_base) : 0),
             c.from + (c.from_base ? reinterpret_cast<intptr_t>(*c.from_base) : 0), c.dims, c.rank, c.run);
        return true;
    }
    const call &c = *static_cast<const call *>(j);
    const uint64_t *a = c.arguments;
    c.entry(c.function, c.state, a[0], a[1], a[2], a[3], a[4], a[5]);
    for (uint64_t g = 0; g < c.guards; ++g)
        for (uint64_t i = 0; i < c.guard_bytes / sizeof(uint64_t); ++i)
            if (uint64_t word; __builtin_memcpy(&word, c.guard[g] + i, sizeof word), word != c.guard_word) return false;
    return true;
}

}  // namespace npuk::work

NPUK_EXPORT uint64_t npuk_work_bytes() { return sizeof(npuk::work::queue); }

// Give one job, and say whether the caller has to look: 1 the queue is full, 2 a job has failed.
NPUK_EXPORT int npuk_work_give(npuk::work::queue *q, const npuk::work::job *j) {
    using namespace npuk::work;
    const uint64_t given = q->given;
    if (load(q->failed)) return 2;
    if (given - q->known >= slots && given - (q->known = load(q->done)) >= slots) return 1;
    q->slot[given % slots] = j;
    store(q->given, given + 1);
    if (load(q->asleep) && given + 1 - load(q->done) >= batch) ring(q->bell);
    return 0;
}

// Do jobs until told to stop, which is after the one in progress. Runs in a thread of its own.
NPUK_EXPORT void npuk_work_serve(npuk::work::queue *q) {
    using namespace npuk::work;
    uint64_t done = q->done;
    for (;;) {
        for (int i = 0; i < spins && load(q->given) == done && !load(q->stop); ++i) relax();
        if (load(q->given) == done) {
            const uint32_t seen = load(q->bell);
            store(q->asleep, 1u);
            if (load(q->stop)) return;
            if (load(q->given) == done) sleep_on(q->bell, seen, -1);
            store(q->asleep, 0u);
            continue;
        }
        if (load(q->stop)) return;
        const job *first = q->slot[done % slots];
        if (!q->failed) {
            for (const job *j = first; j; j = j->next) {
                store(q->running, j);
                if (!execute(j)) {
                    store(q->failed, j);
                    break;
                }
            }
            store<const job *>(q->running, nullptr);
        }
        store(q->done, ++done);
        if (load(q->awaited)) ring(q->answer);
    }
}

// Wait until at most `left` jobs are not done, at most about `milliseconds`, and say whether that is so.
NPUK_EXPORT int npuk_work_wait(npuk::work::queue *q, uint64_t left, int64_t milliseconds) {
    using namespace npuk::work;
    const uint64_t given = load(q->given);
    const auto enough = [&] { return given - load(q->done) <= left; };
    if (!enough() && load(q->asleep)) ring(q->bell);
    for (int i = 0; i < spins && !enough(); ++i) relax();
    if (enough()) return 1;
    const uint32_t seen = load(q->answer);
    store(q->awaited, 1u);
    if (!enough()) sleep_on(q->answer, seen, milliseconds);
    store(q->awaited, 0u);
    return enough();
}

NPUK_EXPORT void npuk_work_stop(npuk::work::queue *q) {
    using namespace npuk::work;
    store(q->stop, 1u);
    ring(q->bell);
}
