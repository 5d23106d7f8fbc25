/* A block's threads as fibers; see emulate.h. All of it runs under the lock of tests/cuda/runtime.cpp. */
#include "emulate.h"

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <memory>
#include <sys/mman.h>
#include <vector>

/* Fibers change places by a few instructions on x86-64, by swapcontext() elsewhere. */
#if defined(__x86_64__) && !defined(COP_UCONTEXT)
#define OWN_SWITCH 1
#else
#include <ucontext.h>
#endif

uint3 threadIdx, blockIdx;
dim3 blockDim, gridDim;

/* The section of all __shared__ variables; there may be none. */
extern char __start_cop_shared[] __attribute__((weak));
extern char __stop_cop_shared[] __attribute__((weak));

namespace
{

enum { THREADS_MAX = 1024, STACK = 128 << 10, WARP = 32, SHARED_MAX = 227 << 10, SHARED_DEFAULT = 48 << 10 };
const uint64_t CANARY = 0x636f707069636521u;

enum state { READY, BARRIER, EXCHANGE, BALLOT, DONE };

struct fiber {
#ifdef OWN_SWITCH
	void *stack;
#else
	ucontext_t context;
#endif
	char *memory;
	uint3 at;
	enum state state;
	const char *file; /* where it waits */
	int line;
	unsigned mask; /* in an exchange: */
	int from;
	uint64_t value, result;
};

struct fiber fibers[THREADS_MAX];
#ifdef OWN_SWITCH
void *home;
#else
ucontext_t home;
#endif
int running = -1; /* the thread that runs */
int threads;
const char *kernel_name = "";
const std::function<void()> *body;
unsigned char *dynamic_shared;

/* splitmix64 (Steele, Lea & Flood 2014) */
uint64_t draw(void)
{
	static uint64_t x = [] {
		const char *seed = getenv("COPPICE_EMULATED_SEED");
		return seed ? strtoull(seed, NULL, 10) : 1u;
	}();
	uint64_t z = x += 0x9e3779b97f4a7c15u;
	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return z ^ (z >> 31);
}

/* An order of 0..n-1: start, start + step, ... modulo n, where step and n have no common divisor. */
struct order {
	uint64_t at, step, n;
	explicit order(uint64_t count) : at(draw() % count), step(1), n(count)
	{
		static const unsigned primes[] = {1, 3, 7, 31, 37, 61, 127, 331, 509, 997, 10007};
		unsigned prime = primes[draw() % 11];
		step = n % prime || prime == 1 ? prime % n : 1;
		if (draw() % 2)
			step = (n - step) % n;
	}
	uint64_t next(void)
	{
		uint64_t now = at;
		at = (at + step) % n;
		return now;
	}
};

} // namespace

#ifdef OWN_SWITCH
/* Keeps what a call must keep, leaves its stack in *save, and goes on where the stack `load` was left. */
extern "C" void emulate_switch(void **save, void *load);
asm(R"(
	.text
	.globl emulate_switch
	.type emulate_switch, @function
emulate_switch:
	pushq %rbp
	pushq %rbx
	pushq %r12
	pushq %r13
	pushq %r14
	pushq %r15
	movq %rsp, (%rdi)
	movq %rsi, %rsp
	popq %r15
	popq %r14
	popq %r13
	popq %r12
	popq %rbx
	popq %rbp
	ret
	.size emulate_switch, . - emulate_switch
	.section .note.GNU-stack,"",@progbits
	.text
)");
#endif

namespace
{

void leave(void)
{
#ifdef OWN_SWITCH
	emulate_switch(&fibers[running].stack, home);
#else
	swapcontext(&fibers[running].context, &home);
#endif
}

void thread_main(void)
{
	(*body)();
	fibers[running].state = DONE;
	leave();
	abort();
}

void prepare(struct fiber *f, int index)
{
	f->at = uint3{(unsigned)index % blockDim.x, (unsigned)index / blockDim.x % blockDim.y,
		      (unsigned)index / (blockDim.x * blockDim.y)};
	f->state = READY;
	memcpy(f->memory, &CANARY, sizeof(CANARY));
#ifdef OWN_SWITCH
	/*
	 * Six registers, the address to go to, and one that keeps the stack aligned as after a call. Stacks do not all
	 * begin at the same place of a page: they would share a few lines of the cache.
	 */
	void **top = reinterpret_cast<void **>(f->memory + STACK - (size_t)index % 32 * 128) - 8;
	memset(top, 0, 8 * sizeof(void *));
	top[6] = reinterpret_cast<void *>(thread_main);
	f->stack = top;
#else
	getcontext(&f->context);
	f->context.uc_stack.ss_sp = f->memory;
	f->context.uc_stack.ss_size = STACK;
	f->context.uc_link = &home;
	makecontext(&f->context, thread_main, 0);
#endif
}

void enter(int index)
{
	running = index;
	threadIdx = fibers[index].at;
#ifdef OWN_SWITCH
	emulate_switch(&home, fibers[index].stack);
#else
	swapcontext(&home, &fibers[index].context);
#endif
	running = -1;
}

const char *name_of(enum state s)
{
	static const char *const names[] = {"runs", "waits at a barrier", "waits in a shuffle", "waits in a ballot",
					    "has ended"};
	return names[s];
}

[[noreturn]] void differ(const char *why, int a, int b)
{
	emulate_fail("%s: thread %d %s (%s:%d), thread %d %s (%s:%d)", why, a, name_of(fibers[a].state),
		     fibers[a].file ? fibers[a].file : "", fibers[a].line, b, name_of(fibers[b].state),
		     fibers[b].file ? fibers[b].file : "", fibers[b].line);
}

/* Whether all threads that `f`, of the warp from `first` on, waits for have come to the same place. */
bool complete(const struct fiber *f, int first, int lanes)
{
	for (int i = 0; i < lanes; i++) {
		const struct fiber *other = &fibers[first + i];
		if (!(f->mask >> i & 1) || other->state == DONE)
			continue;
		if (other->state != f->state || other->mask != f->mask || other->line != f->line ||
		    strcmp(other->file, f->file))
			return false;
	}
	return true;
}

/* Does the exchange of those lanes of a warp that wait with `f`. */
void exchange(const struct fiber *f, int first, int lanes)
{
	unsigned mask = f->mask, votes = 0;
	enum state kind = f->state;

	for (int i = 0; i < lanes; i++)
		if (mask >> i & 1 && fibers[first + i].state == kind && fibers[first + i].value)
			votes |= 1u << i;
	for (int i = 0; i < lanes; i++) {
		struct fiber *own = &fibers[first + i];
		if (!(mask >> i & 1) || own->state != kind)
			continue;
		if (kind == BALLOT) {
			own->result = votes;
			continue;
		}
		const struct fiber *from = own->from < lanes ? &fibers[first + own->from] : NULL;
		if (!from || !(mask >> own->from & 1) || from->state != kind)
			emulate_fail("thread %d takes a value from lane %d, which gives none (%s:%d)", first + i,
				     own->from, own->file, own->line);
		own->result = from->value;
	}
	for (int i = 0; i < lanes; i++)
		if (mask >> i & 1 && fibers[first + i].state == kind)
			fibers[first + i].state = READY;
}

/* A thread that does something else than `t`; or any. */
int other_than(int t)
{
	for (int i = 0; i < threads; i++)
		if (fibers[i].state != fibers[t].state || fibers[i].line != fibers[t].line)
			return i;
	return t ? 0 : threads - 1;
}

/* Fills shared memory with NaN; a sanitizer's guards between its variables as well, unseen. */
__attribute__((no_sanitize("address", "undefined"))) void poison(char *from, const char *to)
{
	volatile char *p = from;
	for (; p < to && (uintptr_t)p % 8; p++)
		*p = (char)0xff;
	for (; to - p >= 8; p += 8)
		*(volatile uint64_t *)p = UINT64_MAX;
	for (; p < to; p++)
		*p = (char)0xff;
}

/* Once no thread can go on: does the exchanges that are complete; else it must be the barrier. */
void resolve(void)
{
	bool any = false;
	for (int t = 0; t < threads; t++) {
		int first = t / WARP * WARP, lanes = std::min((int)WARP, threads - first);
		struct fiber *f = &fibers[t];
		if ((f->state != EXCHANGE && f->state != BALLOT) || !complete(f, first, lanes))
			continue;
		exchange(f, first, lanes);
		any = true;
	}
	if (any)
		return;
	int first = 0;
	while (fibers[first].state == DONE)
		first++;
	for (int t = 0; t < threads; t++) {
		const struct fiber *a = &fibers[first], *b = &fibers[t];
		if (a->state != BARRIER || b->state != BARRIER || a->line != b->line || strcmp(a->file, b->file))
			differ("not all threads come to the same barrier or exchange", first,
			       t != first ? t : other_than(first));
	}
	for (int t = 0; t < threads; t++)
		fibers[t].state = READY;
}

void run_block(void)
{
	int done = 0;

	for (int t = 0; t < threads; t++)
		prepare(&fibers[t], t);
	for (;;) {
		order o((uint64_t)threads);
		for (int i = 0; i < threads; i++) {
			int t = (int)o.next();
			if (fibers[t].state != READY)
				continue;
			enter(t);
			done += fibers[t].state == DONE;
		}
		if (done == threads)
			break;
		resolve();
	}
	for (int t = 0; t < threads; t++)
		if (memcmp(fibers[t].memory, &CANARY, sizeof(CANARY)) != 0)
			emulate_fail("thread %d needs more stack than it has here", t);
}

void make_stacks(void)
{
	static char *all;
	if (all)
		return;
	all = static_cast<char *>(mmap(NULL, (size_t)THREADS_MAX * STACK, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
	if (all == MAP_FAILED)
		emulate_fail("no memory for the threads' stacks");
	for (int t = 0; t < THREADS_MAX; t++)
		fibers[t].memory = all + (size_t)t * STACK;
}

std::map<const void *, size_t> &allowed(void)
{
	static std::map<const void *, size_t> bytes;
	return bytes;
}

} // namespace

void emulate_fail(const char *format, ...)
{
	va_list args;
	va_start(args, format);
	fprintf(stderr, "emulated kernel %s, block (%u,%u,%u) of (%u,%u,%u)", kernel_name, blockIdx.x, blockIdx.y,
		blockIdx.z, gridDim.x, gridDim.y, gridDim.z);
	if (running >= 0)
		fprintf(stderr, ", thread (%u,%u,%u)", threadIdx.x, threadIdx.y, threadIdx.z);
	fputs(": ", stderr);
	vfprintf(stderr, format, args);
	fputc('\n', stderr);
	va_end(args);
	abort();
}

int emulate_lane(void)
{
	return running % WARP;
}

void *emulate_dynamic_shared(void)
{
	if (!dynamic_shared)
		emulate_fail("it was launched without dynamic shared memory");
	return dynamic_shared;
}

static struct fiber *wait_as(enum state state, const char *file, int line)
{
	struct fiber *f = &fibers[running];
	f->state = state;
	f->file = file;
	f->line = line;
	return f;
}

void emulate_barrier(const char *file, int line)
{
	wait_as(BARRIER, file, line);
	leave();
}

static uint64_t with_warp(enum state state, unsigned mask, uint64_t value, int from, const char *file, int line)
{
	struct fiber *f = wait_as(state, file, line);
	if (!(mask >> emulate_lane() & 1))
		emulate_fail("its lane is not in the mask %08x (%s:%d)", mask, file, line);
	f->mask = mask;
	f->value = value;
	f->from = from;
	leave();
	return f->result;
}

uint64_t emulate_exchange(unsigned mask, uint64_t value, int from, const char *file, int line)
{
	return with_warp(EXCHANGE, mask, value, from, file, line);
}

unsigned emulate_ballot(unsigned mask, bool value, const char *file, int line)
{
	return (unsigned)with_warp(BALLOT, mask, value, 0, file, line);
}

cudaError_t emulate_admit(const void *kernel, dim3 grid, dim3 block, size_t shared)
{
	emulated_hold hold;
	uint64_t count = (uint64_t)block.x * block.y * block.z;
	auto it = allowed().find(kernel);
	size_t most = it == allowed().end() ? (size_t)SHARED_DEFAULT : it->second;

	if (!count || count > THREADS_MAX || block.z > 64 || !grid.x || !grid.y || !grid.z || grid.x > 0x7fffffffu ||
	    grid.y > 65535 || grid.z > 65535)
		return cudaErrorInvalidConfiguration;
	return shared > most ? cudaErrorInvalidValue : cudaSuccess;
}

cudaError_t emulate_allow_shared(const void *kernel, size_t bytes)
{
	emulated_hold hold;
	if (bytes > SHARED_MAX)
		return cudaErrorInvalidValue;
	allowed()[kernel] = std::max(bytes, (size_t)SHARED_DEFAULT);
	return cudaSuccess;
}

void emulate_grid(const char *name, dim3 grid, dim3 block, size_t shared, const std::function<void()> &thread)
{
	uint64_t blocks = (uint64_t)grid.x * grid.y * grid.z;
	/* exactly as many bytes as were asked for: a sanitizer sees what goes beyond */
	std::unique_ptr<unsigned char[]> memory(shared ? new unsigned char[shared] : NULL);

	make_stacks();
	gridDim = grid;
	blockDim = block;
	threads = (int)(block.x * block.y * block.z);
	kernel_name = name;
	body = &thread;
	dynamic_shared = memory.get();
	order o(blocks);
	for (uint64_t i = 0; i < blocks; i++) {
		uint64_t b = o.next();
		blockIdx = uint3{(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
				 (unsigned)(b / ((uint64_t)grid.x * grid.y))};
		if (memory)
			memset(memory.get(), 0xff, shared);
		if (__start_cop_shared)
			poison(__start_cop_shared, __stop_cop_shared);
		run_block();
	}
	dynamic_shared = NULL;
	kernel_name = "";
}
