/*
 * Preloaded into a program, makes one library call fail. From the moment main begins until it returns, the calls of one
 * kind are counted, over all processes that are forked meanwhile, and the Nth fails as the system would fail it.
 *
 *   COPPICE_FAULT_KIND   write | rename | sync | open | read | alloc | hdf5-alloc | lock | process | slurm |
 *                        slurm-lost: the call is made, but its answer is lost
 *   COPPICE_FAULT_CALL   N, from 1; 0 or nothing: none fails
 *   COPPICE_FAULT_COUNT  a file that gets a line for each call that was counted: "N HASH FUNCTION in OBJECT", the
 *                        hash of the functions that led there, so that a sample can take each way once
 *   COPPICE_FAULT_LOG    a file that gets this line for the one that failed
 *   COPPICE_FAULT_TRACE  set: stderr gets the way to it
 *
 * What is not counted: writing to stderr, so that a message arrives; writing to pipes and devices; what is allocated by
 * a library that ends the process where it finds no memory, which no caller can mend (see kind_of_memory()); what
 * libslurm does, but for the calls to it. A program
 * that is started with exec knows nothing of all this.
 */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <pwd.h>
#include <spawn.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum kind { NONE, WRITE, RENAME, SYNC, OPEN, READ, ALLOC, HDF5_ALLOC, LOCK, PROCESS, SLURM, LOST, KINDS };
static const char *const kind_names[KINDS] = {"-",     "write",      "rename", "sync",    "open",  "read",
					      "alloc", "hdf5-alloc", "lock",   "process", "slurm", "slurm-lost"};

static enum kind wanted;
static long victim;
static int counts = -1, log_to = -1;
static bool trace;
static atomic_bool armed;
static atomic_long *count; /* shared by all processes that are forked */
static __thread bool inside;

/* The next definition of a function: the C library's. */
#define REAL(name)                     \
	static __typeof__(name) *real; \
	if (!real)                     \
	real = (__typeof__(name) *)next_of(#name)

static void *next_of(const char *name)
{
	bool was = inside;
	inside = true;
	void *f = dlsym(RTLD_NEXT, name);
	inside = was;
	return f;
}

/* Which library an address belongs to: its file, "" for the program itself, and where it begins. */
static const char *object_of(void *address, uintptr_t *begin)
{
	struct dl_find_object found;
	*begin = 0;
	if (_dl_find_object(address, &found) != 0)
		return "?";
	*begin = found.dlfo_link_map->l_addr;
	return found.dlfo_link_map->l_name;
}

/* The library that asked for memory: the caller, or whoever called the C library's strdup() and the like. */
static const char *asking(void *caller)
{
	uintptr_t begin;
	void *at[12];
	const char *object = object_of(caller, &begin);
	int n = strstr(object, "/libc.so") ? backtrace(at, 12) : 0;
	for (int i = 4; i < n && strstr(object, "/libc.so"); i++)
		object = object_of(at[i], &begin);
	return object;
}

/*
 * Some say that there is no memory and end the process, and the linker has nobody to tell: NONE. HDF5 1.10 answers with
 * an error, exits, crashes: a kind for itself.
 */
static enum kind kind_of_memory(void *caller)
{
	static const char *const hopeless[] = {"libslurm", "libgomp", "libopenblas", "ld-linux"};
	const char *object = asking(caller);
	for (size_t i = 0; i < sizeof(hopeless) / sizeof(hopeless[0]); i++)
		if (strstr(object, hopeless[i]))
			return NONE;
	return strstr(object, "libhdf5") ? HDF5_ALLOC : ALLOC;
}

/* The functions on the way to a call as one number that is the same in every run: offsets within their libraries. */
enum { DEPTH = 24 };
static uint64_t way_here(void)
{
	void *at[DEPTH];
	uint64_t hash = 14695981039346656037u;
	int n = backtrace(at, DEPTH);
	for (int i = 2; i < n; i++) {
		uintptr_t begin;
		object_of(at[i], &begin);
		hash = (hash ^ ((uintptr_t)at[i] - begin)) * 1099511628211u;
	}
	return hash;
}

static void note(int fd, long n, const char *function, void *caller)
{
	uintptr_t begin;
	const char *object = object_of(caller, &begin), *slash = strrchr(object, '/');
	char line[256];
	int len = snprintf(line, sizeof(line), "%ld %016llx %s in %s\n", n, (unsigned long long)way_here(), function,
			   slash     ? slash + 1
			   : *object ? object
				     : "the program");
	if (len > 0) {
		REAL(write);
		ssize_t ignored = real(fd, line, (size_t)len);
		(void)ignored;
	}
}

static void show_way(void)
{
	void *at[DEPTH];
	backtrace_symbols_fd(at, backtrace(at, DEPTH), STDERR_FILENO);
}

/* Counts a call; whether it is the one that has to fail. */
static bool fails(enum kind kind, const char *function, void *caller)
{
	bool memory = kind == ALLOC && (wanted == ALLOC || wanted == HDF5_ALLOC);
	if ((kind != wanted && !memory) || inside || !atomic_load(&armed))
		return false;
	inside = true;
	int kept = errno;
	bool now = false;
	uintptr_t begin;
	if (memory ? kind_of_memory(caller) == wanted : !strstr(object_of(caller, &begin), "libslurm")) {
		long n = atomic_fetch_add(count, 1) + 1;
		now = n == victim;
		if (counts >= 0)
			note(counts, n, function, caller);
		if (now && log_to >= 0)
			note(log_to, n, function, caller);
		if (now && trace)
			show_way();
	}
	errno = kept;
	inside = false;
	return now;
}
#define FAILS(kind, function) fails(kind, function, __builtin_return_address(0))

/* A file's own bytes, or what the program prints: not a pipe, a terminal, or stderr. */
static bool matters(int fd)
{
	struct stat st;
	return fd != STDERR_FILENO && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

static int file_name(const char *name)
{
	if (!name)
		return -1;
	REAL(open);
	int fd = real(name, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	if (fd < 0)
		abort();
	/* out of the way of the program's own, whose numbers stay what they are */
	int high = fcntl(fd, F_DUPFD_CLOEXEC, 200);
	close(fd);
	return high;
}

static void prepare(void)
{
	static const char *const variables[] = {"COPPICE_FAULT_KIND", "COPPICE_FAULT_CALL",  "COPPICE_FAULT_COUNT",
						"COPPICE_FAULT_LOG",  "COPPICE_FAULT_TRACE", "LD_PRELOAD"};
	const char *kind = getenv("COPPICE_FAULT_KIND"), *n = getenv("COPPICE_FAULT_CALL");
	void *at[DEPTH];
	for (int i = 1; i < KINDS && kind; i++)
		if (strcmp(kind, kind_names[i]) == 0)
			wanted = (enum kind)i;
	victim = n ? strtol(n, NULL, 10) : 0;
	counts = file_name(getenv("COPPICE_FAULT_COUNT"));
	log_to = file_name(getenv("COPPICE_FAULT_LOG"));
	trace = getenv("COPPICE_FAULT_TRACE") != NULL;
	count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (count == MAP_FAILED)
		abort();
	backtrace(at, DEPTH); /* loads what it needs */
	for (size_t i = 0; i < sizeof(variables) / sizeof(variables[0]); i++)
		unsetenv(variables[i]);
}

/* The program's main between the two moments. */
static int (*real_main)(int, char **, char **);
static int main_between(int argc, char **argv, char **envp)
{
	prepare();
	atomic_store(&armed, true);
	int code = real_main(argc, argv, envp);
	atomic_store(&armed, false);
	return code;
}

int __libc_start_main(int (*)(int, char **, char **), int, char **, void (*)(void), void (*)(void), void (*)(void),
		      void *);
int __libc_start_main(int (*main)(int, char **, char **), int argc, char **argv, void (*init)(void), void (*fini)(void),
		      void (*rtld_fini)(void), void *stack_end)
{
	REAL(__libc_start_main);
	real_main = main;
	return real(main_between, argc, argv, init, fini, rtld_fini, stack_end);
}

/* ---- memory: the C library's own names, for dlsym itself may allocate ---- */

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);
void *__libc_memalign(size_t, size_t);

#define NO_MEMORY(function)           \
	if (FAILS(ALLOC, function)) { \
		errno = ENOMEM;       \
		return NULL;          \
	}

void *malloc(size_t n)
{
	NO_MEMORY("malloc")
	return __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	NO_MEMORY("calloc")
	return __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	NO_MEMORY("realloc")
	return __libc_realloc(p, n);
}

void *aligned_alloc(size_t alignment, size_t n)
{
	NO_MEMORY("aligned_alloc")
	return __libc_memalign(alignment, n);
}

int posix_memalign(void **p, size_t alignment, size_t n)
{
	if (FAILS(ALLOC, "posix_memalign"))
		return ENOMEM;
	*p = __libc_memalign(alignment, n);
	return *p ? 0 : ENOMEM;
}

static void *map(void *at, size_t n, int protection, int flags, int fd, off_t offset, void *caller)
{
	REAL(mmap);
	if (fails(ALLOC, "mmap", caller)) {
		errno = ENOMEM;
		return MAP_FAILED;
	}
	return real(at, n, protection, flags, fd, offset);
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	return map(at, n, protection, flags, fd, offset, __builtin_return_address(0));
}

void *mmap64(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
	return map(at, n, protection, flags, fd, offset, __builtin_return_address(0));
}

/* ---- descriptors ---- */

#define ON_DESCRIPTOR(type, name, kind, error, declared, given)            \
	type name declared                                                 \
	{                                                                  \
		REAL(name);                                                \
		if (kind == wanted && matters(fd) && FAILS(kind, #name)) { \
			errno = error;                                     \
			return -1;                                         \
		}                                                          \
		return real given;                                         \
	}

ON_DESCRIPTOR(ssize_t, write, WRITE, ENOSPC, (int fd, const void *p, size_t n), (fd, p, n))
ON_DESCRIPTOR(ssize_t, writev, WRITE, ENOSPC, (int fd, const struct iovec *v, int n), (fd, v, n))
ON_DESCRIPTOR(ssize_t, pwrite, WRITE, ENOSPC, (int fd, const void *p, size_t n, off_t at), (fd, p, n, at))
ON_DESCRIPTOR(ssize_t, pwrite64, WRITE, ENOSPC, (int fd, const void *p, size_t n, off64_t at), (fd, p, n, at))
ON_DESCRIPTOR(ssize_t, pwritev, WRITE, ENOSPC, (int fd, const struct iovec *v, int n, off_t at), (fd, v, n, at))
ON_DESCRIPTOR(ssize_t, pwritev64, WRITE, ENOSPC, (int fd, const struct iovec *v, int n, off64_t at), (fd, v, n, at))
ON_DESCRIPTOR(int, ftruncate, WRITE, ENOSPC, (int fd, off_t n), (fd, n))
ON_DESCRIPTOR(int, ftruncate64, WRITE, ENOSPC, (int fd, off64_t n), (fd, n))
ON_DESCRIPTOR(ssize_t, read, READ, EIO, (int fd, void *p, size_t n), (fd, p, n))
ON_DESCRIPTOR(ssize_t, pread, READ, EIO, (int fd, void *p, size_t n, off_t at), (fd, p, n, at))
ON_DESCRIPTOR(ssize_t, pread64, READ, EIO, (int fd, void *p, size_t n, off64_t at), (fd, p, n, at))
ON_DESCRIPTOR(int, flock, LOCK, ENOLCK, (int fd, int how), (fd, how))

/* of files: some file systems cannot sync a folder, and the program lets them */
ON_DESCRIPTOR(int, fsync, SYNC, EIO, (int fd), (fd))
ON_DESCRIPTOR(int, fdatasync, SYNC, EIO, (int fd), (fd))

/* A file that was written: on some file systems it is only now that the space is found wanting. */
int close(int fd)
{
	REAL(close);
	int how = wanted == WRITE && matters(fd) ? fcntl(fd, F_GETFL) : 0;
	bool written = how > 0 && (how & O_ACCMODE) != O_RDONLY;
	if (written && FAILS(WRITE, "close")) {
		real(fd);
		errno = ENOSPC;
		return -1;
	}
	return real(fd);
}

/* ---- names ---- */

#define ON_NAME(name, error, declared, given) \
	int name declared                     \
	{                                     \
		REAL(name);                   \
		if (FAILS(RENAME, #name)) {   \
			errno = error;        \
			return -1;            \
		}                             \
		return real given;            \
	}

ON_NAME(rename, EIO, (const char *from, const char *to), (from, to))
ON_NAME(renameat, EIO, (int at, const char *from, int there, const char *to), (at, from, there, to))
ON_NAME(renameat2, EIO, (int at, const char *from, int there, const char *to, unsigned how), (at, from, there, to, how))
ON_NAME(link, EIO, (const char *from, const char *to), (from, to))
ON_NAME(linkat, EIO, (int at, const char *from, int there, const char *to, int how), (at, from, there, to, how))
ON_NAME(symlink, EIO, (const char *from, const char *to), (from, to))

/* one that is there already would be refused anyway */
int mkdir(const char *path, mode_t mode)
{
	REAL(mkdir);
	struct stat st;
	if (wanted == RENAME && stat(path, &st) != 0 && FAILS(RENAME, "mkdir")) {
		errno = ENOSPC;
		return -1;
	}
	return real(path, mode);
}

/* What is opened to be read only is a read. */
static enum kind kind_of(int flags)
{
	return (flags & O_ACCMODE) == O_RDONLY ? READ : OPEN;
}

/* The kernel's and the machine's own files may be missing at any time, and are not what is tested. */
static bool of_the_system(const char *path)
{
	return !path || strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0 ||
	       (strncmp(path, "/dev/", 5) == 0 && strncmp(path, "/dev/shm/", 9) != 0) || strncmp(path, "/etc/", 5) == 0;
}

#define MODE_OF(flags, last)                    \
	mode_t mode = 0;                        \
	if ((flags) & (O_CREAT | O_TMPFILE)) {  \
		va_list ap;                     \
		va_start(ap, last);             \
		mode = (mode_t)va_arg(ap, int); \
		va_end(ap);                     \
	}

#define OPENS(name)                                                         \
	int name(const char *path, int flags, ...)                          \
	{                                                                   \
		REAL(name);                                                 \
		MODE_OF(flags, flags)                                       \
		if (!of_the_system(path) && FAILS(kind_of(flags), #name)) { \
			errno = EMFILE;                                     \
			return -1;                                          \
		}                                                           \
		return real(path, flags, mode);                             \
	}

#define OPENS_AT(name)                                                      \
	int name(int at, const char *path, int flags, ...)                  \
	{                                                                   \
		REAL(name);                                                 \
		MODE_OF(flags, flags)                                       \
		if (!of_the_system(path) && FAILS(kind_of(flags), #name)) { \
			errno = EMFILE;                                     \
			return -1;                                          \
		}                                                           \
		return real(at, path, flags, mode);                         \
	}

#define OPENS_STREAM(name)                                                         \
	FILE *name(const char *path, const char *how)                              \
	{                                                                          \
		REAL(name);                                                        \
		enum kind kind = how[0] == 'r' && !strchr(how, '+') ? READ : OPEN; \
		if (!of_the_system(path) && FAILS(kind, #name)) {                  \
			errno = EMFILE;                                            \
			return NULL;                                               \
		}                                                                  \
		return real(path, how);                                            \
	}

OPENS(open)
OPENS(open64)
OPENS_AT(openat)
OPENS_AT(openat64)
OPENS_STREAM(fopen)
OPENS_STREAM(fopen64)

/* ---- streams: the C library writes them past write(2), so the calls on them stand for it ---- */

/* Whether a write to this stream fails now; then its mark says so, as it would after a failed write(2). */
static bool stream_fails(FILE *f, const char *function, void *caller)
{
	if (wanted != WRITE || !matters(fileno(f)) || !fails(WRITE, function, caller))
		return false;
	f->_flags |= 0x20; /* what ferror() looks at in glibc */
	errno = ENOSPC;
	return true;
}
#define STREAM_FAILS(f, function) stream_fails(f, function, __builtin_return_address(0))

size_t fwrite(const void *p, size_t size, size_t n, FILE *f)
{
	REAL(fwrite);
	return STREAM_FAILS(f, "fwrite") ? 0 : real(p, size, n, f);
}

int fputs(const char *s, FILE *f)
{
	REAL(fputs);
	return STREAM_FAILS(f, "fputs") ? EOF : real(s, f);
}

int puts(const char *s)
{
	REAL(puts);
	return STREAM_FAILS(stdout, "puts") ? EOF : real(s);
}

int fputc(int c, FILE *f)
{
	REAL(fputc);
	return STREAM_FAILS(f, "fputc") ? EOF : real(c, f);
}

#undef putchar
int putchar(int c)
{
	REAL(putchar);
	return STREAM_FAILS(stdout, "putchar") ? EOF : real(c);
}

int vfprintf(FILE *f, const char *fmt, va_list ap)
{
	REAL(vfprintf);
	return STREAM_FAILS(f, "vfprintf") ? -1 : real(f, fmt, ap);
}

int fprintf(FILE *f, const char *fmt, ...)
{
	REAL(vfprintf);
	va_list ap;
	va_start(ap, fmt);
	int n = STREAM_FAILS(f, "fprintf") ? -1 : real(f, fmt, ap);
	va_end(ap);
	return n;
}

int printf(const char *fmt, ...)
{
	REAL(vfprintf);
	va_list ap;
	va_start(ap, fmt);
	int n = STREAM_FAILS(stdout, "printf") ? -1 : real(stdout, fmt, ap);
	va_end(ap);
	return n;
}

int fflush(FILE *f)
{
	REAL(fflush);
	return f && STREAM_FAILS(f, "fflush") ? EOF : real(f);
}

int fclose(FILE *f)
{
	REAL(fclose);
	int how = wanted == WRITE ? fcntl(fileno(f), F_GETFL) : 0;
	bool written = how > 0 && (how & O_ACCMODE) != O_RDONLY;
	if (!written || !STREAM_FAILS(f, "fclose"))
		return real(f);
	real(f);
	errno = ENOSPC;
	return EOF;
}

/* ---- processes and threads ---- */

pid_t fork(void)
{
	REAL(fork);
	if (FAILS(PROCESS, "fork")) {
		errno = EAGAIN;
		return -1;
	}
	return real();
}

int pthread_create(pthread_t *t, const pthread_attr_t *a, void *(*start)(void *), void *user)
{
	REAL(pthread_create);
	return FAILS(PROCESS, "pthread_create") ? EAGAIN : real(t, a, start, user);
}

/* ---- HDF5 sets itself up in the first call: 1.10 crashes, or spins, where it finds no memory for that ---- */

int H5_init_library(void);
int H5_init_library(void)
{
	REAL(H5_init_library);
	bool was = inside;
	inside = true;
	int rc = real();
	inside = was;
	return rc;
}

int posix_spawnp(pid_t *pid, const char *file, const posix_spawn_file_actions_t *actions,
		 const posix_spawnattr_t *attributes, char *const *argv, char *const *env)
{
	REAL(posix_spawnp);
	return FAILS(PROCESS, "posix_spawnp") ? EAGAIN : real(pid, file, actions, attributes, argv, env);
}

/* ---- the C library asserts that it finds memory while it reads /etc/nsswitch.conf ---- */

struct passwd *getpwuid(uid_t id)
{
	REAL(getpwuid);
	bool was = inside;
	inside = true;
	struct passwd *user = real(id);
	inside = was;
	return user;
}

/* ---- libslurm, which only the caller, a module that was loaded for itself, can see ---- */

static void *slurm_function(const char *name, void *caller)
{
	Dl_info info;
	void *module = dladdr(caller, &info) ? dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD) : NULL;
	void *f = module ? dlsym(module, name) : NULL;
	if (!f)
		abort();
	dlclose(module);
	return f;
}

/* What libslurm has for a connection that was refused, and for one that broke before the answer. */
enum { NO_CONNECTION = 1001, NO_ANSWER = 1003 };

static int no(int why)
{
	errno = why;
	return -1;
}

/* Arguments are words of the machine; 0 is success. */
#define SLURM_CALL(name)                                                                               \
	int name(void *, void *, void *, void *);                                                      \
	int name(void *a, void *b, void *c, void *d)                                                   \
	{                                                                                              \
		static int (*real)(void *, void *, void *, void *);                                    \
		void *caller = __builtin_return_address(0);                                            \
		if (!real)                                                                             \
			real = (int (*)(void *, void *, void *, void *))slurm_function(#name, caller); \
		if (fails(SLURM, #name, caller))                                                       \
			return no(NO_CONNECTION);                                                      \
		int rc = real(a, b, c, d);                                                             \
		return fails(LOST, #name, caller) ? no(NO_ANSWER) : rc;                                \
	}

SLURM_CALL(slurm_submit_batch_job)
SLURM_CALL(slurm_load_jobs)
SLURM_CALL(slurm_load_ctl_conf)
SLURM_CALL(slurm_kill_job2)
