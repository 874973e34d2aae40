# Process 1 of a sandbox. It starts one job per line of its standard input and ends jobs when told to.
# The kernel keeps signals from inside the sandbox away from it: nothing that runs here can kill it. Nor can anything
# look into it or use its files: it is of another group, or bash could not be read when it was started.
#
#   run NUMBER              source the file NUMBER of the control folder, in a process of its own
#   kill TOKEN PID [PID…]   end the job PID and every process of no job; the other PIDs are jobs that live on
#   sweep TOKEN             end every process but this one
#   ping TOKEN              nothing
#   look TOKEN              count: the answer goes on with the kernel's out-of-memory kills here and the process ids
#
# It ends with its input, and after $life seconds without a line where that is set. All but `run` answer with their
# token. Job control gives each job its own process group, and SIGINT its default meaning.
set -m
control=/run/arena

# Reads /proc into state[pid] and parent[pid]. A process may put any byte into its name, so the last ") " counts.
look() {
    local path text
    state=() parent=()
    for path in /proc/[0-9]*; do
        text= # it stays as it is where the process is gone
        IFS= read -r -d '' text 2>/dev/null <"$path/stat"
        text=${text##*) }
        [ -n "$text" ] || continue
        state[${path##*/}]=${text%% *}
        text=${text#* }
        parent[${path##*/}]=${text%% *}
    done
}

# A process belongs to the job it descends from; one whose parents have ended belongs to none. What has been killed may
# wait long for its turn to end on a busy machine: only those that are new in a round speak for a bomb.
end_job() {
    local -A spared=() killed=()
    local -a state parent victims
    local job=$1 pid top steps rounds=0 round new
    shift
    if [ $# = 0 ]; then
        kill -KILL -1 # at once, however many there are
        return
    fi
    for pid; do spared[$pid]=1; done
    for ((round = 0; round < 1000; round++)); do
        look
        victims=() new=0
        for pid in "${!parent[@]}"; do
            [ "$pid" = 1 ] || [ "${state[pid]}" = Z ] && continue
            top=$pid steps=${#parent[@]} # what was read one after the other need not be a tree
            while [ "${parent[top]:-1}" -gt 1 ] && ((steps-- > 0)); do top=${parent[top]}; done
            [ -n "${spared[$top]}" ] && continue
            victims+=("$pid")
            [ -n "${killed[$pid]}" ] || new=1
            killed[$pid]=1
        done
        [ ${#victims[@]} = 0 ] && return
        kill -KILL "$job" "${victims[@]}"
        if ((rounds += new, rounds == 6)); then
            kill -KILL -1 # they multiply faster than they are read: end everything at once
            return
        fi
    done
}

# The kernel's count of processes it ended for want of memory, from the control group (version 2 or 1) where it is shown.
count_kills() {
    local name value
    kills=0
    for file in /sys/fs/cgroup/memory.events /sys/fs/cgroup/memory/memory.oom_control; do
        while read -r name value; do
            [ "$name" = oom_kill ] && kills=$value
        done <"$file"
    done
}

# A `read` with a time gives these signals a meaning, and the kernel then lets them through. Where jobs are not started
# from here, and so inherit nothing, they are ignored.
[ -z "$life" ] || trap '' HUP INT QUIT ILL TRAP ABRT BUS FPE SEGV SYS PIPE ALRM TERM XCPU XFSZ VTALRM USR1 USR2

exec 2>/dev/null
printf 'ready\0'
while read -r ${life:+-t "$life"} verb target others; do
    case $verb in
    run)
        (. "$control/$target") </dev/null >/dev/null &
        disown
        ;;
    kill)
        # shellcheck disable=SC2086
        end_job $others
        printf '%s\0' "$target"
        ;;
    sweep)
        kill -KILL -1
        printf '%s\0' "$target"
        ;;
    look)
        count_kills
        pids=(/proc/[0-9]*)
        printf '%s %s %s\0' "$target" "$kills" "${pids[*]#/proc/}"
        ;;
    ping)
        printf '%s\0' "$target"
        ;;
    esac
done
exit 0
