/* How many threads; see pace.h. */
#include "compute/pace.h"

/*
 * A window is long enough to see other programs come and go. A try that did not pay is repeated ever more seldom, and
 * all tries together take at most one part in SHARE of the time. A number of threads is left for another that is GAIN
 * faster; one that has become WORSE times slower than usual is a reason to try at once.
 */
#define WINDOW 0.02
#define PAUSE_LEAST 0.25
#define PAUSE_MOST 8.0
#define SHARE 50
#define GAIN 0.93
#define WORSE 1.6

void cop_pace_init(struct cop_pace *p, int most)
{
	*p = (struct cop_pace){.most = most, .threads = most, .down_next = true, .pause = PAUSE_LEAST};
}

static int neighbour(const struct cop_pace *p, bool down)
{
	int n = down ? p->threads / 2 : p->threads * 2;
	if (n > p->most)
		n = p->most;
	return n < 1 ? 1 : n;
}

static void begin_try(struct cop_pace *p)
{
	int n = neighbour(p, p->down_next);
	if (n == p->threads) {
		p->down_next = !p->down_next;
		n = neighbour(p, p->down_next);
	}
	p->since = 0;
	if (n == p->threads)
		return;
	p->before = p->threads;
	p->threads = n;
}

static void end_try(struct cop_pace *p, double mean, double window)
{
	bool better = mean < GAIN * p->usual;
	if (better) {
		/* further the same way next, and soon */
		p->usual = mean;
		p->pause = PAUSE_LEAST;
	} else {
		p->threads = p->before;
		p->down_next = !p->down_next;
		p->pause = p->pause * 2 < PAUSE_MOST ? p->pause * 2 : PAUSE_MOST;
	}
	if (p->pause < SHARE * window)
		p->pause = SHARE * window;
	p->before = 0;
}

int cop_pace_step(struct cop_pace *p, double seconds)
{
	if (p->most < 2)
		return p->most;
	p->sum += seconds;
	p->since += seconds;
	p->steps++;
	if (p->sum < WINDOW)
		return p->threads;
	double mean = p->sum / p->steps, window = p->sum;
	p->sum = 0;
	p->steps = 0;
	if (p->before) {
		end_try(p, mean, window);
		return p->threads;
	}
	bool worse = p->usual > 0 && mean > WORSE * p->usual && p->since > SHARE * WINDOW / 10;
	p->usual = p->usual > 0 ? 0.5 * (p->usual + mean) : mean;
	if (worse || p->since > p->pause)
		begin_try(p);
	return p->threads;
}
