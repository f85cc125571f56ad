# bash completion for violin: source it, or put it into /usr/share/bash-completion/completions/violin
_violin() {
  local cur=${COMP_WORDS[COMP_CWORD]} words
  # Words are asked for as they stand; readline's own breaks at ':' and '=' are no words of ours.
  mapfile -t words < <("${COMP_WORDS[0]}" __complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null)
  COMPREPLY=("${words[@]}")
  [ ${#COMPREPLY[@]} -gt 0 ] || mapfile -t COMPREPLY < <(compgen -f -- "$cur")
}
complete -o filenames -o nosort -F _violin violin
