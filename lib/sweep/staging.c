/* Staging: the folder, and reading from copies; see staging.h. How a file gets there is in staging_copy.c. */
#include "sweep/staging.h"

#include "base/file.h"
#include "base/log.h"
#include "base/mem.h"
#include "base/str.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATIENCE = 120 };

static bool starts_name(char c)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static size_t name_length(const char *s)
{
	size_t n = 0;
	while (starts_name(s[n]) || (n && s[n] >= '0' && s[n] <= '9'))
		n++;
	return n;
}

/* Adds the variable that `at` (a '$') begins, and puts *next behind it. */
static int add_variable(struct cop_str *out, const char *text, const char *at, const char **next, struct cop_err *err)
{
	bool braced = at[1] == '{';
	const char *name = at + 1 + braced;
	size_t n = name_length(name);
	if (n == 0 || (braced && name[n] != '}'))
		return cop_fail(err, COP_EINPUT, "'device.stage' is '%s': '%.20s' is neither $NAME nor ${NAME}", text,
				at);
	char *variable = cop_xasprintf("%.*s", (int)n, name);
	const char *value = getenv(variable);
	int rc = 0;
	if (value && *value)
		cop_str_add(out, value);
	else
		rc = cop_fail(err, COP_EINPUT, "'device.stage' is '%s', but the variable %s is %s here", text, variable,
			      value ? "empty" : "not set");
	free(variable);
	*next = name + n + braced;
	return rc;
}

int cop_staging_expand(const char *text, char **out, struct cop_err *err)
{
	struct cop_str s = {0};
	int rc = 0;
	for (const char *p = text; *p && !rc;) {
		size_t plain = strcspn(p, "$");
		cop_str_addn(&s, p, plain);
		p += plain;
		if (p[0] == '$' && p[1] == '$') {
			cop_str_add(&s, "$");
			p += 2;
		} else if (*p) {
			rc = add_variable(&s, text, p, &p, err);
		}
	}
	if (rc)
		cop_str_release(&s);
	else
		*out = cop_str_take(&s);
	return rc;
}

/* Somebody else's folder could be read, or filled with anything: the stage may be a /tmp that all users share. */
static int check_ours(const char *folder, struct cop_err *err)
{
	struct stat st;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return cop_fail_errno(err, COP_EFAILED, "cannot open folder '%s'", folder);
	int rc = 0;
	if (fstat(fd, &st) < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot open folder '%s'", folder);
	else if (st.st_uid != geteuid())
		rc = cop_fail(err, COP_EINPUT, "folder '%s' belongs to user %lu, not to you", folder,
			      (unsigned long)st.st_uid);
	else if (st.st_mode & (S_IRWXG | S_IRWXO))
		rc = cop_fail(err, COP_EINPUT, "folder '%s' is open to others (its mode is %o, not 700)", folder,
			      (unsigned)st.st_mode & 07777);
	else if (faccessat(fd, ".", W_OK | X_OK, AT_EACCESS) < 0)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot write to folder '%s'", folder);
	close(fd);
	return rc;
}

int cop_staging_folder(const char *stage, char **out, struct cop_err *err)
{
	int rc = cop_mkdirs(stage, err);
	if (rc)
		return rc;
	char *whole = cop_absolute(stage);
	char *folder = cop_xasprintf("%s/coppice-%lu", whole, (unsigned long)geteuid());
	free(whole);
	if (mkdir(folder, 0700) < 0 && errno != EEXIST)
		rc = cop_fail_errno(err, COP_EFAILED, "cannot make folder '%s'", folder);
	if (!rc)
		rc = check_ours(folder, err);
	if (rc)
		free(folder);
	else
		*out = folder;
	return rc;
}

void cop_staging_open(struct cop_staging *s, const char *stage, const volatile sig_atomic_t *stop)
{
	*s = (struct cop_staging){.stop = stop, .patience = PATIENCE};
	if (!stage || !*stage)
		return;
	struct cop_err err = {0};
	char *path = NULL;
	int rc = cop_staging_expand(stage, &path, &err);
	if (!rc)
		rc = cop_staging_folder(path, &s->folder, &err);
	if (rc)
		cop_warn("nothing is staged: %s", err.msg);
	free(path);
}

void cop_staging_release(struct cop_staging *s)
{
	free(s->folder);
	free(s->data);
	*s = (struct cop_staging){0};
}

void cop_staging_advise(const char *stage)
{
	if (stage && *stage && *stage != '/' && *stage != '$')
		cop_warn(
			"'device.stage' is '%s', which is relative: a task takes it from the folder that it starts in, "
			"which nodes often share",
			stage);
}

/* The copy to read; *copy stays NULL where there is none. */
static int stage(const struct cop_staging *s, const char *path, char **copy, struct cop_err *err)
{
	struct cop_err why = {0};
	bool found = false;
	/* one that is missing is for its reader to tell */
	if (!s || !s->folder || !cop_exists(path))
		return 0;
	int rc = cop_staging_copy(s, path, copy, &found, &why);
	if (rc == COP_ESTOPPED)
		return cop_fail(err, rc, "%s", why.msg);
	if (rc)
		cop_warn("'%s' is read where it is: %s", path, why.msg);
	else if (found)
		cop_info("found '%s' in the stage '%s'", path, s->folder);
	return 0;
}

/* A copy that could not be read is in nobody's way any more; whoever comes next makes another. */
static void discard(const char *path, const char *copy, const struct cop_err *why)
{
	cop_warn("'%s' is read where it is, its copy is discarded: %s", path, why->msg);
	cop_remove(copy);
}

int cop_staging_data(struct cop_staging *s, struct cop_data *d, const struct cop_data_config *c, struct cop_err *err)
{
	struct cop_err why = {0};
	char *copy = NULL;
	int rc = stage(s, c->path, &copy, err);
	if (rc)
		return rc;
	struct cop_data_config staged = *c;
	staged.path = copy ? copy : c->path;
	rc = cop_data_open(d, &staged, copy ? &why : err);
	if (rc && copy) {
		discard(c->path, copy, &why);
		rc = cop_data_open(d, c, err);
	} else if (copy) {
		s->data = cop_xstrdup(c->path);
	}
	free(copy);
	return rc;
}

void cop_staging_doubt(const struct cop_staging *s)
{
	if (!s->data)
		return;
	cop_staging_mistrust(s, s->data);
	cop_info("'%s' was read from its copy in the stage: the next task here checks that first", s->data);
}

int cop_staging_checkpoint(const struct cop_staging *s, const char *path, struct cop_checkpoint *c, bool slots,
			   struct cop_err *err)
{
	struct cop_err why = {0};
	char *copy = NULL;
	/* asked to stop: the training that follows stops at its first step, and says where */
	stage(s, path, &copy, NULL);
	int rc = copy ? cop_checkpoint_read(copy, c, slots, &why) : cop_checkpoint_read(path, c, slots, err);
	if (rc && copy) {
		discard(path, copy, &why);
		rc = cop_checkpoint_read(path, c, slots, err);
	}
	free(copy);
	return rc;
}
