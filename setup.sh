# Makes the environment and activates it, in bash or zsh:
#
#     . setup.sh [CHECKPOINTS]          (zsh: source setup.sh [CHECKPOINTS])
#
# CHECKPOINTS is a folder of local checkpoints; it is remembered and becomes the default of --llava-root.
# VLM_TSC_PYTHON names the Python to use, VLM_TSC_VENV the environment's folder (default: .venv beside this file).
#
# This file runs in the caller's shell, whatever its options: so it changes no option and no folder, calls nothing by a
# bare name that may be an alias, sets only names that begin with _vlm_tsc_, and removes them. The work is in
# vlm_tsc/install.py, a process of its own.

_vlm_tsc_try_python() {
    command -v "$1" >/dev/null 2>&1 || return 1
    _vlm_tsc_version=$("$1" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || return 1
    _vlm_tsc_python=$1
    case $_vlm_tsc_version in 3.11 | 3.12 | 3.13 | 3.14) return 0 ;; esac
    _vlm_tsc_seen="${_vlm_tsc_seen:+$_vlm_tsc_seen, }$1 is $_vlm_tsc_version"
    return 1
}

_vlm_tsc_find_python() {
    if [ -n "${VLM_TSC_PYTHON-}" ]; then
        if _vlm_tsc_try_python "$VLM_TSC_PYTHON"; then return 0; fi
    else
        # The environment's own Python first: what was made with 3.12 stays 3.12.
        for _vlm_tsc_python in "$_vlm_tsc_venv/bin/python" python3 python3.13 python3.12 python3.11 python3.14; do
            if _vlm_tsc_try_python "$_vlm_tsc_python"; then return 0; fi
        done
    fi
    printf '%s\n' \
        'error: VLM-TSC needs Python 3.11, 3.12, 3.13 or 3.14' \
        "  got:     ${_vlm_tsc_seen:-no working ${VLM_TSC_PYTHON:-python3}}" \
        '  fix:     install one (Debian, Ubuntu: sudo apt install python3 python3-venv;' \
        '           macOS: brew install python@3.13), or name the one to use:' \
        '           export VLM_TSC_PYTHON=/path/to/python3.12' >&2
    return 1
}

_vlm_tsc_setup() {
    _vlm_tsc_find_python || return 1
    if [ ! -f "$_vlm_tsc_folder/vlm_tsc/install.py" ]; then
        printf '%s\n' "error: $_vlm_tsc_folder holds no VLM-TSC project; source setup.sh from where it was cloned" >&2
        return 1
    fi
    "$_vlm_tsc_python" -I "$_vlm_tsc_folder/vlm_tsc/install.py" "$_vlm_tsc_venv" "$1" || return 1
    [ -r "$_vlm_tsc_venv/bin/activate" ]
}

_vlm_tsc_python='' _vlm_tsc_version='' _vlm_tsc_seen='' _vlm_tsc_status=1 _vlm_tsc_sourced=yes
if [ -n "${ZSH_VERSION-}" ]; then
    eval '_vlm_tsc_folder=${(%):-%x}' # eval, because other shells cannot read this line
    case ${ZSH_EVAL_CONTEXT-} in *file*) ;; *) _vlm_tsc_sourced=no ;; esac
elif [ -n "${BASH_VERSION-}" ]; then
    _vlm_tsc_folder=$BASH_SOURCE
    (return 0 2>/dev/null) || _vlm_tsc_sourced=no
else # plain sh says neither where a sourced file is nor that it is sourced
    _vlm_tsc_folder=setup.sh
    case $0 in *setup.sh) _vlm_tsc_sourced=no ;; esac
fi
case $_vlm_tsc_folder in */*) _vlm_tsc_folder=${_vlm_tsc_folder%/*} ;; *) _vlm_tsc_folder=. ;; esac
_vlm_tsc_venv=${VLM_TSC_VENV:-$_vlm_tsc_folder/.venv}

if [ "$_vlm_tsc_sourced" = no ]; then
    printf '%s\n' 'error: setup.sh must be sourced, to activate the environment in your shell' \
        '  fix:     type  . setup.sh  (zsh: source setup.sh)' >&2
elif _vlm_tsc_setup "${1-}"; then # without arguments $1 is the caller's own: install.py takes only what is a folder
    . "$_vlm_tsc_venv/bin/activate"
    if [ -r "$_vlm_tsc_venv/llava_root" ] && { [ -d "${1-}" ] || [ -z "${VLM_TSC_LLAVA_ROOT-}" ]; }; then
        IFS= read -r VLM_TSC_LLAVA_ROOT <"$_vlm_tsc_venv/llava_root" && export VLM_TSC_LLAVA_ROOT
    fi
    _vlm_tsc_status=0
fi

unset -f _vlm_tsc_try_python _vlm_tsc_find_python _vlm_tsc_setup
unset _vlm_tsc_python _vlm_tsc_version _vlm_tsc_seen _vlm_tsc_sourced _vlm_tsc_folder _vlm_tsc_venv
if [ "$_vlm_tsc_status" = 0 ]; then
    unset _vlm_tsc_status
    return 0
fi
unset _vlm_tsc_status
return 1 2>/dev/null || exit 1 # exit: only when run instead of sourced, so it ends a process of its own
