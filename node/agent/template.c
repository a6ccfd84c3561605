/* Literal text is copied; each {{..}} is trimmed and looked up. */
#include "node/agent/template.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"

static int append_slot(const struct task *task, const struct id *node_id, struct buf *out)
{
    if (task->slot == 0)
        return buf_append_str(out, node_id->text);
    return buf_printf(out, "%" PRIu64, task->slot);
}

int task_full_name(const struct task *task, const struct id *node_id, struct buf *out)
{
    int rc = buf_printf(out, "%s.", task->service_name == NULL ? "" : task->service_name);

    if (rc == 0)
        rc = append_slot(task, node_id, out);
    if (rc == 0)
        rc = buf_printf(out, ".%s", task->id.text);
    return rc;
}

static struct slice trim(struct slice s)
{
    while (s.len > 0 && (s.ptr[0] == ' ' || s.ptr[0] == '-')) {
        s.ptr++;
        s.len--;
    }
    while (s.len > 0 && (s.ptr[s.len - 1] == ' ' || s.ptr[s.len - 1] == '-'))
        s.len--;
    return s;
}

static bool is(struct slice expr, const char *name)
{
    return slice_equal(expr, slice_of_str(name));
}

static int append_text(const char *text, struct buf *out)
{
    return text == NULL ? 0 : buf_append_str(out, text);
}

/* {{index .Service.Labels "key"}}: ERR_NOT_FOUND when it is something else. */
static int append_label(const struct template_context *c, struct slice expr, struct buf *out)
{
    static const char prefix[] = "index .Service.Labels ";
    char key[256];
    size_t len;

    if (expr.len < sizeof(prefix) + 1 || memcmp(expr.ptr, prefix, sizeof(prefix) - 1) != 0)
        return ERR_NOT_FOUND;
    expr = trim(slice_of(expr.ptr + sizeof(prefix) - 1, expr.len - (sizeof(prefix) - 1)));
    if (expr.len < 2 || expr.ptr[0] != '"' || expr.ptr[expr.len - 1] != '"')
        return ERR_NOT_FOUND;
    len = expr.len - 2;
    if (len >= sizeof(key))
        return ERR_NOT_FOUND;
    memcpy(key, expr.ptr + 1, len);
    key[len] = '\0';
    return append_text(str_map_get(&c->task->labels, key), out);
}

static int append_value(const struct template_context *c, struct slice expr, struct buf *out)
{
    if (is(expr, ".Service.ID"))
        return append_text(c->task->service_id.text, out);
    if (is(expr, ".Service.Name"))
        return append_text(c->task->service_name, out);
    if (is(expr, ".Node.ID"))
        return append_text(c->node_id->text, out);
    if (is(expr, ".Node.Hostname"))
        return append_text(c->node->hostname, out);
    if (is(expr, ".Node.Platform.Architecture"))
        return append_text(c->node->platform.architecture, out);
    if (is(expr, ".Node.Platform.OS"))
        return append_text(c->node->platform.os, out);
    if (is(expr, ".Task.ID"))
        return append_text(c->task->id.text, out);
    if (is(expr, ".Task.Name"))
        return task_full_name(c->task, c->node_id, out);
    if (is(expr, ".Task.Slot"))
        return append_slot(c->task, c->node_id, out);
    return append_label(c, expr, out);
}

int template_expand(const struct template_context *c, const char *text, struct buf *out,
                    struct field_error *err)
{
    while (text != NULL && *text != '\0') {
        const char *open = strstr(text, "{{");
        const char *close = open == NULL ? NULL : strstr(open, "}}");
        int rc;

        if (close == NULL)
            return buf_append_str(out, text);
        rc = buf_append(out, text, (size_t)(open - text));
        if (rc < 0)
            return rc;
        rc = append_value(c, trim(slice_of(open + 2, (size_t)(close - open) - 2)), out);
        if (rc == ERR_NOT_FOUND) {
            (void)snprintf(err->text, sizeof(err->text), "%.*s: unknown placeholder",
                           (int)(close - open) + 2, open);
            return ERR_INVALID;
        }
        if (rc < 0)
            return rc;
        text = close + 2;
    }
    return 0;
}
