/* The lock on a run's jobs; see lock.h. */
#include "sweep/lock.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "sweep/state.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

/* Shared file systems without locks answer one of these. */
static bool has_no_locks(int error)
{
	return error == ENOLCK || error == ENOSYS || error == EOPNOTSUPP || error == EINVAL;
}

/* A file that says who made it, made only where there is none; one whose maker is gone from this host is replaced. */
static int make_stand(struct cop_lock *l, const char *run, struct cop_err *err)
{
	l->stand = cop_xasprintf("%s/jobs/lock.json", run);
	for (int try = 0; try < 2; try++) {
		struct cop_state s;
		bool known;
		int fd = open(l->stand, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
		if (fd >= 0) {
			close(fd);
			cop_state_begin(l->stand, &s);
			int rc = cop_state_write(l->stand, &s, err);
			if (rc)
				cop_lock_give(l);
			return rc;
		}
		int error = errno;
		cop_state_read(l->stand, &s);
		bool alive = s.state != COP_WORK_RUNNING || cop_state_alive(&s, &known) || !known;
		if (error == EEXIST && !alive) {
			cop_remove(l->stand);
			continue;
		}
		errno = error;
		int rc = error == EEXIST
				 ? cop_fail(err, COP_EFAILED,
					    "somebody else is submitting '%s' just now (process %lld on '%s'); if that "
					    "is gone, remove '%s'",
					    run, (long long)s.pid, s.host, l->stand)
				 : cop_fail_errno(err, COP_EFAILED, "cannot make '%s'", l->stand);
		free(l->stand);
		l->stand = NULL;
		return rc;
	}
	free(l->stand);
	l->stand = NULL;
	return cop_fail(err, COP_EFAILED, "somebody else is submitting '%s' just now", run);
}

/* For whoever comes meanwhile; a lock that says nothing locks as well. */
static void write_holder(const struct cop_lock *l)
{
	char host[64] = "";
	const struct passwd *user = getpwuid(getuid());
	gethostname(host, sizeof(host) - 1);
	char *text = cop_xasprintf("process %ld of '%s' on '%s'\n", (long)getpid(), user ? user->pw_name : "?", host);
	if (ftruncate(l->fd, 0) != 0 || cop_write_all(l->fd, text, strlen(text)) != 0)
		cop_debug("who has the lock could not be noted: %s", strerror(errno));
	free(text);
}

static int refuse(const char *run, const char *path, struct cop_err *err)
{
	char *who = NULL;
	size_t len = 0;
	if (cop_read_file(path, &who, &len, NULL) == 0)
		who[strcspn(who, "\n")] = '\0';
	int rc = cop_fail(err, COP_EFAILED, "somebody else is submitting '%s' just now: %s; see 'coppice status'", run,
			  who && *who ? who : "another process");
	free(who);
	return rc;
}

int cop_lock_take(struct cop_lock *l, const char *run, struct cop_err *err)
{
	char *folder = cop_xasprintf("%s/jobs", run), *path = cop_xasprintf("%s/jobs/lock", run);
	*l = (struct cop_lock){.fd = -1};
	int rc = cop_mkdirs(folder, err);
	if (!rc && (l->fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666)) < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot open '%s'", path);
	else if (!rc && flock(l->fd, LOCK_EX | LOCK_NB) < 0) {
		int error = errno;
		close(l->fd);
		l->fd = -1;
		errno = error;
		if (error == EWOULDBLOCK)
			rc = refuse(run, path, err);
		else if (has_no_locks(error))
			rc = make_stand(l, run, err);
		else
			rc = cop_fail_errno(err, COP_EFAILED, "cannot lock '%s'", path);
	}
	if (l->fd >= 0)
		write_holder(l);
	free(path);
	free(folder);
	return rc;
}

int cop_lock_wait(struct cop_lock *l, const char *run, int seconds, struct cop_err *err)
{
	struct cop_err why = {0};
	int rc = cop_lock_take(l, run, &why);
	for (int s = 0; rc && s < seconds; s++) {
		sleep(1);
		why = (struct cop_err){0};
		rc = cop_lock_take(l, run, &why);
	}
	return rc ? cop_fail(err, why.code, "%s", why.msg) : 0;
}

void cop_lock_give(struct cop_lock *l)
{
	if (l->fd >= 0) {
		/* its name must not stand for the next one, who may take the lock at any moment */
		if (ftruncate(l->fd, 0) != 0)
			cop_debug("who had the lock is still noted in it: %s", strerror(errno));
		close(l->fd);
	}
	if (l->stand)
		cop_remove(l->stand);
	free(l->stand);
	*l = (struct cop_lock){.fd = -1};
}
