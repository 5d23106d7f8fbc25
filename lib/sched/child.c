/* Running a program; see child.h. */
#include "sched/child.h"

#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

static void close_if(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Reads both pipes to their ends. */
static int drain(int pipe_out, int pipe_errors, struct cop_str *out, struct cop_str *errors, struct cop_err *err)
{
	struct pollfd fds[2] = {{.fd = pipe_out, .events = POLLIN}, {.fd = pipe_errors, .events = POLLIN}};
	struct cop_str *to[2] = {out, errors};
	char buf[65536];
	while (fds[0].fd >= 0 || fds[1].fd >= 0) {
		if (poll(fds, 2, -1) < 0 && errno != EINTR)
			return cop_fail_errno(err, COP_EFAILED, "cannot read from a program");
		for (int i = 0; i < 2; i++) {
			if (fds[i].fd < 0 || !fds[i].revents)
				continue;
			ssize_t got = read(fds[i].fd, buf, sizeof(buf));
			if (got > 0)
				cop_str_addn(to[i], buf, (size_t)got);
			else if (got == 0 || errno != EINTR)
				fds[i].fd = -1; /* poll leaves it out */
		}
	}
	return 0;
}

static int spawn(char *const *argv, char *const *env, int out, int errors, pid_t *pid, struct cop_err *err)
{
	posix_spawn_file_actions_t actions;
	int e = posix_spawn_file_actions_init(&actions);
	if (e == 0) {
		e = posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
		e = e ? e : posix_spawn_file_actions_adddup2(&actions, out, STDOUT_FILENO);
		e = e ? e : posix_spawn_file_actions_adddup2(&actions, errors, STDERR_FILENO);
		e = e ? e : posix_spawnp(pid, argv[0], &actions, NULL, argv, env);
		posix_spawn_file_actions_destroy(&actions);
	}
	errno = e;
	bool missing = e == ENOENT || e == EACCES || e == ENOTDIR || e == ENOEXEC;
	return e ? cop_fail_errno(err, missing ? COP_EMISSING : COP_EFAILED, "cannot run '%s'", argv[0]) : 0;
}

int cop_child_run(char *const *argv, char *const *env, char **out, char **errors, int *code, struct cop_err *err)
{
	struct cop_str text = {0}, complaints = {0};
	int o[2] = {-1, -1}, e[2] = {-1, -1}, status = 0, rc;
	pid_t pid = 0;

	if (pipe2(o, O_CLOEXEC) != 0 || pipe2(e, O_CLOEXEC) != 0) {
		rc = cop_fail_errno(err, COP_EFAILED, "cannot make a pipe");
		goto out;
	}
	rc = spawn(argv, env, o[1], e[1], &pid, err);
	if (rc)
		goto out;
	close_if(&o[1]);
	close_if(&e[1]);
	rc = drain(o[0], e[0], &text, &complaints, err);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	*code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
out:
	for (int i = 0; i < 2; i++) {
		close_if(&o[i]);
		close_if(&e[i]);
	}
	*out = cop_str_take(&text);
	*errors = cop_str_take(&complaints);
	return rc;
}
