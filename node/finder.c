#include "node/finder.h"

void finder_init(struct finder *f)
{
    *f = (struct finder){ .deadline = MONO_NEVER };
}

static size_t find(const struct finder *f, const struct id *manager)
{
    size_t i = 0;

    while (i < f->manager_count && !id_equal(&f->managers[i], manager))
        i++;
    return i;
}

void finder_add(struct finder *f, const struct id *manager)
{
    if (find(f, manager) < f->manager_count || f->manager_count == FINDER_MANAGERS_MAX)
        return;
    f->managers[f->manager_count++] = *manager;
    if (f->state == FINDER_IDLE)
        f->deadline = 0;
}

void finder_remove(struct finder *f, const struct id *manager)
{
    size_t i = find(f, manager);

    if (i == f->manager_count || f->manager_count == 1)
        return; /* the last one we know stays: better than none */
    f->managers[i] = f->managers[--f->manager_count];
    f->next = 0;
}

static void pause(struct finder *f, mono_ns now)
{
    f->state = FINDER_IDLE;
    f->target = (struct id){ "" };
    f->deadline = mono_after(now, FINDER_PAUSE_NS);
}

void finder_redirect(struct finder *f, const struct id *leader, mono_ns now)
{
    if (id_is_none(leader)) {
        pause(f, now);
        return;
    }
    if (f->state == FINDER_ASKING && id_equal(&f->target, leader))
        return;
    finder_add(f, leader);
    f->next = find(f, leader) % (f->manager_count == 0 ? 1 : f->manager_count);
    f->state = FINDER_IDLE;
    f->deadline = now;
}

void finder_served(struct finder *f, const struct id *by)
{
    if (!id_equal(&f->target, by))
        return;
    f->state = FINDER_SERVED;
    f->deadline = MONO_NEVER;
}

void finder_lost(struct finder *f, const struct id *manager, mono_ns now)
{
    if (f->state != FINDER_IDLE && id_equal(&f->target, manager))
        pause(f, now);
}

bool finder_turn(struct finder *f, mono_ns now)
{
    if (now < f->deadline || f->manager_count == 0)
        return false;
    if (f->state == FINDER_ASKING) {
        pause(f, now); /* silence: somebody else may answer */
        return false;
    }
    f->target = f->managers[f->next % f->manager_count];
    f->next = (f->next + 1) % f->manager_count;
    f->state = FINDER_ASKING;
    f->deadline = mono_after(now, FINDER_ANSWER_NS);
    return true;
}
