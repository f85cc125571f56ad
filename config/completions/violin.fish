# fish completion for violin: put it into ~/.config/fish/completions/
function __violin_complete
  set -l words (commandline -opc) (commandline -ct)
  $words[1] __complete $words[2..-1] 2>/dev/null
end
complete -c violin -a '(__violin_complete)'
