/*
 * A crew of threads that decode images, and hand them over in order. At most a window of them is held at a time, so
 * memory is bounded however many there are; what comes out does not depend on the number of threads.
 */
#ifndef COP_DATA_CREW_H
#define COP_DATA_CREW_H

#include "data/image.h"

struct cop_crew_job {
	char *(*path)(const void *user, size_t at); /* of an image, which the crew frees; called by any thread */
	const void *user;
	size_t n;     /* images */
	size_t bytes; /* about how many an image has: fewer are held at a time where they are large */
	int channels; /* as for cop_image_decode */
	int size;     /* fit to size x size; 0: as they are */
	enum cop_resize resize;
};

/* One image: pixels, or why there are none. */
struct cop_crew_image {
	struct cop_image im; /* cells of 1 */
	char *path;
	int rc;
	struct cop_err err;
};

struct cop_crew;

/* `threads`: 1 or more. The job is copied; what it points to must stay. COP_EFAILED: no thread could be started. */
int cop_crew_start(struct cop_crew **c, const struct cop_crew_job *job, int threads, struct cop_err *err) COP_CHECKED;

/* The next image, in order; NULL after the last. It stays the crew's, and goes with the next call. */
const struct cop_crew_image *cop_crew_next(struct cop_crew *c);

/* Ends the threads, whether all was done or not. NULL is allowed. */
void cop_crew_end(struct cop_crew *c);

#endif
