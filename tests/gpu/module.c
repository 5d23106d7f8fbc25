/* The CUDA module for tests; see module.h. */
#include "module.h"

#include "base/file.h"
#include "base/mem.h"
#include "base/str.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

struct module_watch module_watch = {.fail_at = -1};

static const struct cop_backend *backend;
static struct cop_backend watched;
static struct cop_queue watched_queue;

static bool fails(const char *what, struct cop_err *err)
{
	if (module_watch.allocations++ != module_watch.fail_at)
		return false;
	(void)!cop_fail(err, COP_EFAILED, "out of GPU memory: the test had none for %s", what);
	return true;
}

static int watched_alloc(void **p, size_t bytes, const char *what, struct cop_err *err)
{
	static const char *const anything[] = {"activations", "statistics", "workspace"};
	*p = NULL;
	int rc = fails(what, err) ? COP_EFAILED : backend->alloc(p, bytes, what, err);
	for (size_t i = 0; i < sizeof(anything) / sizeof(anything[0]) && !rc; i++)
		if (strcmp(what, anything[i]) == 0) {
			void *nan = cop_xmalloc(bytes + 1);
			memset(nan, 0xff, bytes);
			rc = backend->put(*p, nan, bytes, err);
			free(nan);
		}
	return rc;
}

static int watched_alloc_pinned(void **p, size_t bytes, const char *what, struct cop_err *err)
{
	*p = NULL;
	return fails(what, err) ? COP_EFAILED : backend->queue->alloc_pinned(p, bytes, what, err);
}

static int watched_begin_record(struct cop_err *err)
{
	module_watch.records++;
	return backend->queue->begin_record(err);
}

static void watched_replay(struct cop_record *r)
{
	module_watch.replays++;
	backend->queue->replay(r);
}

static void watch(void)
{
	watched = *backend;
	watched_queue = *backend->queue;
	watched.queue = &watched_queue;
	watched.alloc = watched_alloc;
	watched_queue.alloc_pinned = watched_alloc_pinned;
	watched_queue.begin_record = watched_begin_record;
	watched_queue.replay = watched_replay;
}

int module_open(enum cop_precision precision)
{
	struct cop_device_choice c = {.kind = COP_DEVICE_CUDA, .precision = (int)precision, .deterministic = true};
	struct cop_err err = {0};
	char *here = cop_program_folder(), *beside = cop_xasprintf("%s/../emulated", here);
	setenv("COPPICE_MODULES", beside, 0);
	free(here);
	free(beside);
	if (cop_backend_open(&c, &backend, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return -1;
	}
	watch();
	return 0;
}

const struct cop_backend *module_backend(void)
{
	return backend;
}

const struct cop_backend *module_watched(void)
{
	return &watched;
}

bool module_is_emulated(void)
{
	char about[200];
	return strstr(cop_backend_describe(backend, about, sizeof(about)), "Emulated") != NULL;
}

size_t module_bytes_used(void)
{
	size_t free_bytes, total;
	struct cop_err err = {0};
	if (backend->queue->memory(&free_bytes, &total, &err))
		fail_msg("%s", err.msg);
	return total - free_bytes;
}

int module_again(const char *argument)
{
	int status;
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		execl("/proc/self/exe", "again", argument, (char *)NULL);
		_exit(127);
	}
	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) ? WEXITSTATUS(status) : 127;
}
